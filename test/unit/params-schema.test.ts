import { test } from 'tap'
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { z } from 'zod'
import { z as mini } from 'zod/mini'
import { z as z3 } from 'zod/v3'
import { ChartQueueService, defineCharts, memoryStore } from '../../lib/index.ts'
import { embeddedSchema } from '../../lib/http/schemas/params-schema.ts'
import { startHost } from '../helpers/app.ts'

const start = (paramsSchema: unknown) => new ChartQueueService({ store: memoryStore(), paramsSchema: paramsSchema as object })
const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'

/** What other libraries make, as far as it shows; `vendor` is the name that Standard Schema has for them. */
const standard = (vendor: string, own: object) => ({ ...own, '~standard': { version: 1, vendor, validate: () => ({ value: 1 }) } })
class JoiObject { type = 'object'; $_root = {}; $_terms = {}; validate () {} }
class YupObject { type = 'object'; __isYupSchema__ = true; validate () {} }
class Dto { rows!: number }

const foreign: Array<[name: string, schema: unknown, said: RegExp]> = [
  ['zod 4', z.object({ rows: z.int() }), /^fastify-async-charts: options\.paramsSchema must be a JSON Schema, got a schema of zod: convert it with z\.toJSONSchema\(schema\)/],
  ['zod 4, not of an object', z.string(), /z\.toJSONSchema/],
  ['zod mini', mini.object({ rows: mini.number() }), /z\.toJSONSchema/],
  ['zod 3', z3.object({ rows: z3.number() }), /zod-to-json-schema for zod 3/],
  ['zod inside a JSON Schema', { type: 'object', properties: { rows: z.int() } }, /options\.paramsSchema\.properties\.rows must be a JSON Schema, got a schema of zod/],
  ['valibot', standard('valibot', { kind: 'schema', type: 'object', entries: {}, async: false, '~run' () {} }), /@valibot\/to-json-schema/],
  ['arktype', Object.assign(() => {}, standard('arktype', { toJsonSchema () {} })), /schema\.toJsonSchema\(\)/],
  ['effect', Object.assign(class {}, { ast: {}, [Symbol.for('effect/Schema')]: 1 }), /JSONSchema\.make/],
  ['joi', new JoiObject(), /joi-to-json/],
  ['yup', new YupObject(), /yup-to-json-schema/],
  ['fluent-json-schema', { isFluentSchema: true, valueOf: () => ({}), prop () {} }, /schema\.valueOf\(\)/],
  ['another of Standard Schema', standard('superb', { run () {} }), /got a schema of superb: convert it to JSON Schema first/],
  ['a compiled schema of TypeBox', TypeCompiler.Compile(Type.Object({})), /give the JSON Schema itself/],
  ['a class', Dto, /got a function: give the JSON Schema itself/],
  ['an instance', new Dto(), /an object with methods or a class of its own/],
  ['a Map', new Map([['type', 'object']]), /a class of its own/],
  ['a member that is a validator', { type: 'object', validate () {} }, /an object with methods/],
  ['a BigInt', { type: 'integer', minimum: 1n }, /options\.paramsSchema\.minimum must be a JSON Schema, got a bigint/],
  ['members without properties', { rows: { type: 'integer' }, title_text: { type: 'string' } }, /without any keyword: rows, title_text\. .*properties/],
  ['another draft', { $schema: 'http://json-schema.org/draft-04/schema#', type: 'object' }, /\$schema must be that of draft-07 or 2020-12, got "http:/],
  ['a schema that is wrong', { type: 'rows' }, /must be a JSON Schema: .*type/]
]

for (const [name, schema, said] of foreign) {
  test(`no JSON Schema: ${name}`, async t => {
    t.throws(() => start(schema), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: said })
    await t.rejects(startHost(t, 'memory', { paramsSchema: schema as object }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: said })
  })
}

const rows = z.object({ rows: z.int(), span: z.optional(z.tuple([z.string(), z.number()])) })
const schemas: Record<string, object> = {
  'what zod converts': z.toJSONSchema(rows),
  'what zod converts to draft-07': z.toJSONSchema(rows, { target: 'draft-7' }),
  TypeBox: Type.Object({ rows: Type.Integer({ default: () => 1 }), span: Type.Optional(Type.Tuple([Type.String(), Type.Number()])) }, { additionalProperties: false }),
  'one that is frozen': Object.freeze({ type: 'object', required: ['rows'], properties: { rows: { type: 'integer' }, span: { type: 'array', items: [{ type: 'string' }, { type: 'number' }] } } }),
  'one without a prototype': Object.assign(Object.create(null), { required: ['rows'], properties: { rows: { type: 'integer' }, span: { maxItems: 0 } } })
}

for (const [name, paramsSchema] of Object.entries(schemas)) {
  test(`a JSON Schema holds params to it, by the routes and by the service: ${name}`, async t => {
    const host = await startHost(t, 'memory', { paramsSchema })
    const cases: Array<[params: object, fits: boolean]> = [[{ rows: 1 }, true], [{ rows: 'x' }, false], [{}, false], [{ rows: 1, span: [1, 'a'] }, false]]
    for (const [params, fits] of cases) {
      t.equal((await host.as('ada').post({ message_id, params })).statusCode, fits ? 202 : 400, JSON.stringify(params))
      const asked = host.service.enqueueChartTask({ message_id, params: params as never }, { user_id: 'ada' })
      await (fits ? t.resolves(asked) : t.rejects(asked, { code: 'CHARTS_ERR_INVALID_REQUEST' }))
    }
  })
}

test('a schema that says nothing is one: any params, or an annotation', async t => {
  for (const schema of [{}, { title: 'Params' }, { description: 'Whatever you like' }, { $comment: 'any' }, Type.Any(), Type.Unknown(), { not: {} }]) {
    t.doesNotThrow(() => start(schema), JSON.stringify(schema))
  }
})

test('a definition is returned as it is given', async t => {
  const charts = { paramsSchema: Type.Object({ year: Type.Integer() }), generate: async () => null }
  t.equal(defineCharts(charts), charts)
})

test('references to parts of a schema resolve within ours, those of a subschema with an id of its own stay', async t => {
  const other = { $id: 'https://example.org/other', $ref: '#/$defs/own' }
  t.strictSame(embeddedSchema({ $ref: '#/$defs/row', $defs: { row: { items: [{ $ref: '#/$defs/row' }] }, other } }, 'params'), {
    $id: 'params', $ref: 'params#/$defs/row', $defs: { row: { items: [{ $ref: 'params#/$defs/row' }] }, other }
  })
})
