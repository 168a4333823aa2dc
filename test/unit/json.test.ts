import { test } from 'tap'
import { isTooDeep, locateJsonFault, toWellFormedJson } from '../../lib/json.ts'

const nested = (levels: number, inside = '1') => `${'[{"a":'.repeat(levels / 2)}${inside}${'}]'.repeat(levels / 2)}`

test('JSON of 500 levels is deep enough, of 501 too deep', async t => {
  t.equal(isTooDeep(nested(500)), false)
  t.equal(isTooDeep(nested(500, '[]')), true)
  t.equal(isTooDeep(nested(500, '{}')), true)
  t.equal(isTooDeep(`[${nested(500)}]`), true)
  t.equal(isTooDeep(nested(100_000)), true)
})

test('what is wide, or has brackets in its strings, is not deep', async t => {
  t.equal(isTooDeep(JSON.stringify(Array.from({ length: 5_000 }, (_, i) => ({ i, rows: [[], {}] })))), false)
  for (const text of ['['.repeat(2_000), '{"'.repeat(2_000), `\\${'"['.repeat(2_000)}`, `${'\\'.repeat(2_001)}"${'['.repeat(2_000)}`]) {
    t.equal(isTooDeep(JSON.stringify([text, { [text]: text }])), false, text.slice(0, 5))
    t.equal(isTooDeep(JSON.stringify([text, JSON.parse(nested(600))])), true, text.slice(0, 5))
  }
})

test('half a surrogate pair becomes U+FFFD, and nothing else changes', async t => {
  for (const value of ['a\ud800b', '\udfff', '\ud83d\ude00 \ud83d', { '\ud800': ['\\\ud800'] }]) {
    const json = toWellFormedJson(JSON.stringify(value))
    t.strictSame(JSON.parse(json), JSON.parse(JSON.stringify(value, (_key, member) => typeof member === 'string' ? member.toWellFormed() : member).replace('"\\ud800":', '"\ufffd":')))
    t.notOk(/\\ud[89a-f]/.test(json.replaceAll('\\\\', '')), json)
  }
  for (const value of ['\\ud800', 'C:\\udp', '\\\\ud800', '\ud83d\ude00', '\u0000', '\ufffd']) {
    t.equal(toWellFormedJson(JSON.stringify(value)), JSON.stringify(value), value)
  }
})

test('what is JSON when it is read again has a fault without a place', async t => {
  t.strictSame(locateJsonFault({ rows: [1, { year: 2015 }] }), { path: '', message: 'must be JSON' })
})
