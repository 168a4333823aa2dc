import { embeddable, isDraft2020, strictAjv } from './validator.ts'

/** How to convert a schema of a library to JSON Schema, by the name of the library in Standard Schema. */
const CONVERSIONS: Readonly<Record<string, string>> = {
  zod: 'z.toJSONSchema(schema), or zod-to-json-schema for zod 3',
  valibot: 'toJsonSchema(schema) of @valibot/to-json-schema',
  arktype: 'schema.toJsonSchema()',
  effect: 'JSONSchema.make(schema)',
  yup: 'convertSchema(schema) of @sodaru/yup-to-json-schema',
  joi: 'parse(schema) of joi-to-json',
  'fluent-json-schema': 'schema.valueOf()'
}
/** Keywords that may hold any value: they validate nothing. */
const EXAMPLES = new Set(['default', 'examples', 'example'])
/** Keywords of a valid schema that the validator does not know. */
const ANNOTATIONS = new Set([...EXAMPLES, 'title', 'description', 'deprecated', 'readOnly', 'writeOnly', '$comment', '$anchor'])

type Members = Readonly<Record<PropertyKey, unknown>>

/** The library that made a schema; null if it cannot be recognised. */
function libraryOf (schema: Members): string | null {
  const standard = schema['~standard'] as { vendor?: unknown } | undefined
  if (typeof standard?.vendor === 'string') return standard.vendor
  if ('_def' in schema && typeof schema['safeParse'] === 'function') return 'zod'
  if (schema['__isYupSchema__'] === true) return 'yup'
  if ('$_root' in schema || '$_terms' in schema) return 'joi'
  if (Symbol.for('effect/Schema') in schema) return 'effect'
  if (schema['isFluentSchema'] === true || schema['isFluentJSONSchema'] === true) return 'fluent-json-schema'
  return null
}

/** Objects of another realm count as plain. */
function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty'))
}

/** Why a value cannot be part of a JSON Schema; null if it can. Its members are not checked. */
function faultOf (value: unknown): string | null {
  if (typeof value === 'function' || (typeof value === 'object' && value !== null && !Array.isArray(value))) {
    // A plain object is a JSON Schema even with the `~standard` of Standard Schema.
    const isSchema = typeof value === 'object' && isPlain(value) && !Object.entries(value).some(([key, member]) => typeof member === 'function' && !EXAMPLES.has(key))
    if (isSchema) return null
    const library = libraryOf(value as Members)
    const conversion = library === null ? undefined : CONVERSIONS[library]
    if (conversion !== undefined) return `got a schema of ${library}: convert it with ${conversion}`
    if (library !== null) return `got a schema of ${library}: convert it to JSON Schema first`
    return `got ${typeof value === 'function' ? 'a function' : 'an object with methods or a class of its own'}: give the JSON Schema itself, as plain data`
  }
  return typeof value === 'bigint' || typeof value === 'symbol' ? `got a ${typeof value}` : null
}

/** The first value in a schema that cannot be part of a JSON Schema; null if there is none. */
function findForeign (schema: unknown): { path: string, fault: string } | null {
  const seen = new Set<unknown>()
  const open = [{ path: '', value: schema }]
  for (const { path, value } of open) {
    const fault = faultOf(value)
    if (fault !== null) return { path, fault }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    for (const [key, member] of Object.entries(value)) if (!EXAMPLES.has(key)) open.push({ path: `${path}.${key}`, value: member })
  }
  return null
}

/** Why a schema of the host cannot be used, with the path of the fault; null if it can. */
export function paramsSchemaFault (schema: object): string | null {
  const foreign = findForeign(schema)
  if (foreign) return `options.paramsSchema${foreign.path} must be a JSON Schema, ${foreign.fault}`
  const ajv = strictAjv({}, schema)
  const names = Object.keys(schema)
  if (names.length > 0 && !names.some(name => ajv.getKeyword(name) !== false || ANNOTATIONS.has(name))) {
    return `options.paramsSchema must be a JSON Schema, got one without any keyword: ${names.slice(0, 5).join(', ')}. ` +
      'Members of an object are named in { type: \'object\', properties: { … } }'
  }
  const { $schema: dialect } = schema as { $schema?: unknown }
  if (typeof dialect === 'string' && !isDraft2020(schema) && !/draft-07\/schema#?$/.test(dialect)) {
    return `options.paramsSchema.$schema must be that of draft-07 or 2020-12, got ${JSON.stringify(dialect)}`
  }
  try {
    ajv.compile(embeddable(schema))
  } catch (error) {
    return `options.paramsSchema must be a JSON Schema: ${(error as Error).message}`
  }
  return null
}
