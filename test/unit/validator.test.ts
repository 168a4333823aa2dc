import { test } from 'tap'
import { nameFaults, strictJudge } from '../../lib/validator.ts'

test('what holds itself is judged, too', async t => {
  const input: Record<string, unknown> = { name: 5 }
  Object.assign(input, { self: input, again: input, list: [input, input, input] })
  const judge = strictJudge({ type: 'object', properties: { name: { type: 'string' } } })
  t.equal(judge(input), false)
  t.equal(nameFaults(judge.errors!, 'input'), 'input/name must be string')
})

test('one judge judges one input after another', async t => {
  const judge = strictJudge({ type: 'object', required: ['name'] })
  const nested = JSON.parse(`${'['.repeat(600)}${']'.repeat(600)}`)
  for (const [input, message] of [[{}, "it must have required property 'name'"], [{ name: 1 }, null], [nested, 'it must not be nested deeper than 500 levels'], [{ name: 1 }, null], [null, 'it must be object']]) {
    t.equal(judge(input), message === null)
    t.equal(judge.errors && nameFaults(judge.errors, 'it'), message)
  }
})

test('a choice is named only where nothing says more', async t => {
  const judge = strictJudge({ properties: { a: { anyOf: [{ type: 'null' }, { type: 'string' }] }, b: { anyOf: [{ type: 'null' }, { type: 'null' }] } } })
  t.equal(judge({ a: 1, b: 1 }), false)
  t.equal(nameFaults(judge.errors!, 'it'), 'it/a must be string, it/b must match a schema in anyOf')
})
