import { test } from 'tap'
import { describeIssues, strictValidator } from '../../lib/validator.ts'

test('an input that contains itself is validated', async t => {
  const input: Record<string, unknown> = { name: 5 }
  Object.assign(input, { self: input, again: input, list: [input, input, input] })
  const validate = strictValidator({ type: 'object', properties: { name: { type: 'string' } } })
  t.equal(validate(input), false)
  t.equal(describeIssues(validate.errors!, 'input'), 'input/name must be string')
})

test('one validator for one input after another', async t => {
  const validate = strictValidator({ type: 'object', required: ['name'] })
  const nested = JSON.parse(`${'['.repeat(600)}${']'.repeat(600)}`)
  for (const [input, message] of [[{}, "it must have required property 'name'"], [{ name: 1 }, null], [nested, 'it must not be nested deeper than 500 levels'], [{ name: 1 }, null], [null, 'it must be object']]) {
    t.equal(validate(input), message === null)
    t.equal(validate.errors && describeIssues(validate.errors, 'it'), message)
  }
})

test('anyOf is reported only if no other issue explains the value', async t => {
  const validate = strictValidator({ properties: { a: { anyOf: [{ type: 'null' }, { type: 'string' }] }, b: { anyOf: [{ type: 'null' }, { type: 'null' }] } } })
  t.equal(validate({ a: 1, b: 1 }), false)
  t.equal(describeIssues(validate.errors!, 'it'), 'it/a must be string, it/b must match a schema in anyOf')
})
