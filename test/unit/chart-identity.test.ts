import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { chartIdOf, digest } from '../../lib/service/chart-identity.ts'
import type { JsonValue } from '../../lib/task.ts'

function shuffled (value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(shuffled)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).reverse().map(([key, member]) => [key, shuffled(member)]))
}

test('the order of keys makes no difference, everything else does', async t => {
  t.equal(digest({ a: 1, b: { c: [1, 2], d: null } }), digest({ b: { d: null, c: [1, 2] }, a: 1 }))
  fc.assert(fc.property(fc.jsonValue(), value => digest(value as JsonValue) === digest(shuffled(value as JsonValue))))
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
    const [one, other] = [JSON.stringify(a), JSON.stringify(b)]
    return one === other || digest(one) !== digest(other)
  }))
})

test('what only looks alike is not the same', async t => {
  const different: JsonValue[][] = [
    [1], ['1'], [true], ['true'], [null], ['null'], [''], [], [[]], [{}], [[1, 2]], [[2, 1]], [['1,2']], [{ a: 1 }], [{ a: '1' }], ['{"a":1}'],
    ['a', 'b'], ['ab', ''], ['', 'ab'], ['ab'], ['a', '1:b'], ['ä'], ['a\u0308']
  ]
  const digests = different.map(parts => digest(...parts))
  t.equal(new Set(digests).size, digests.length)
  t.not(digest('a', undefined), digest('a', null), 'absent is not null')
})

test('a digest is short, and safe in a key', async t => {
  t.match(digest({ any: 'thing' }), /^[\w-]{24}$/)
})

test('every lease gives a chart id of its own, and always the same one', async t => {
  const task_id = randomUUID()
  const ids = Array.from({ length: 1_000 }, (_, i) => chartIdOf(task_id, i + 1))
  t.equal(new Set(ids).size, ids.length)
  t.strictSame(ids, Array.from({ length: 1_000 }, (_, i) => chartIdOf(task_id, i + 1)))
  t.not(chartIdOf(randomUUID(), 1), ids[0])
  for (const id of ids) t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})
