import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { digest } from '../../lib/service/digest.ts'
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

/** The digest of a part as releases before this one computed it: of the parsed JSON of the part. */
function digestOfParsed (part: unknown): string {
  const canonical = (value: JsonValue | undefined): string => {
    if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
    if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? ''
    return `{${Object.keys(value).sort().map(key => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`
  }
  const json = JSON.stringify(part)
  const text = canonical(json === undefined ? undefined : JSON.parse(json))
  return createHash('sha256').update(`${text.length}:${text}`).digest().subarray(0, 18).toString('base64url')
}

class Point {
  readonly x = 1
  readonly #y = 2
  get y () { return this.#y }
}

test('a value has the digest of its parsed JSON', async t => {
  const leaf = fc.oneof(
    fc.double(), fc.boolean(), fc.constant(null), fc.string({ unit: 'binary' }), fc.constant(undefined), fc.date(), fc.date().map(date => ({ toJSON: (): unknown => [date, undefined, { date }] })),
    fc.string().map(text => Object(text)), fc.integer().map(number => Object(number)), fc.constant(new Point()), fc.constant(Object.create(null)), fc.constant(() => 1)
  )
  const { value } = fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value'), { maxLength: 4 }), fc.sparseArray(tie('value'), { maxLength: 4 }), fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }))
  }))
  fc.assert(fc.property(value, value => digest(value) === digestOfParsed(value)), { numRuns: 500 })
  for (const odd of [-0, NaN, '\ud800', JSON.parse('{"__proto__":{"a":1},"a":[]}'), [undefined], { a: undefined }, { toJSON: () => undefined }]) t.equal(digest(odd), digestOfParsed(odd))
})
