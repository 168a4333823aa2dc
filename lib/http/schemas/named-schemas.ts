type Schema = Record<string, unknown>

/** Start of a reference to a named schema. @fastify/swagger rewrites it for the version of the document. */
const POINTER = '#/definitions/'

/** A schema that refers to a named one, with all definitions that it needs. */
export interface ReferringSchema extends Schema {
  $ref: string
  readonly definitions: Record<string, object>
}

/** The document that @fastify/swagger is building: one of the two, depending on its version. */
export interface Documents {
  readonly openapiObject?: { readonly openapi: string, readonly components: { readonly schemas: Record<string, object> }, tags?: readonly Tag[] | undefined }
  readonly swaggerObject?: { readonly definitions: Record<string, object>, tags?: readonly Tag[] | undefined }
}

export interface Tag {
  readonly name: string
  readonly description: string
}

const mapValues = (schema: object, change: (value: unknown) => unknown): Schema =>
  Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, change(value)]))

/** Removes `format`: a validator of the host that knows no formats would refuse the schema. */
function withoutFormats (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutFormats)
  if (typeof schema !== 'object' || schema === null) return schema
  const { format, ...rest } = schema as Schema
  return mapValues(typeof format === 'string' ? rest : { ...schema }, withoutFormats)
}

/** A schema or null, in the notation of the OpenAPI version. */
function nullable (schema: Schema, version: string): Schema {
  if (version.startsWith('2')) return { ...schema, 'x-nullable': true }
  const { enum: values } = schema
  if (!version.startsWith('3.0')) return values ? { anyOf: [schema, { type: 'null' }] } : { ...schema, type: [schema['type'], 'null'] }
  return { ...schema, nullable: true, ...(Array.isArray(values) && { enum: [...values, null] }) }
}

const isNull = (schema: unknown) => (schema as Schema)['type'] === 'null'

/** A schema in the notation of a document. `pointer`: where its schemas are; `names`: what they are called there. */
function toNotation (schema: unknown, version: string, pointer: string, names: ReadonlyMap<string, string>): unknown {
  const convert = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(convert)
    if (typeof value !== 'object' || value === null) return value
    const { $ref, anyOf } = value as { $ref?: string, anyOf?: unknown[] }
    if (typeof $ref === 'string') return { $ref: `${pointer}${names.get($ref.slice(POINTER.length))}` }
    if (anyOf?.length === 2 && isNull(anyOf[1])) return nullable(convert(anyOf[0]) as Schema, version)
    return mapValues(value, convert)
  }
  return convert(schema)
}

/**
 * Schemas that keep their names in the host's OpenAPI document. They are added to it directly, because @fastify/swagger gives shared
 * schemas numbers instead of names unless the host configures its `refResolver`.
 */
export class NamedSchemas {
  readonly #schemas: Record<string, object>
  readonly #tags: readonly Tag[]
  readonly #referring: Array<{ readonly name: string, readonly schema: ReferringSchema }> = []
  /** The schemas that were added to documents: what has one of our names there, but is none of these, is the host's. */
  readonly #added = new WeakSet<object>()

  /** `schemas`: by name, with references that `ref` made; `tags`: the groups of the routes. */
  constructor (schemas: Record<string, object>, tags: readonly Tag[]) {
    this.#schemas = schemas
    this.#tags = tags
  }

  /** A reference to the schema of this name. */
  static ref (name: string): { $ref: string } {
    return { $ref: `${POINTER}${name}` }
  }

  /** The schema of a response: a reference, with the definitions that it needs, so that a validator can compile it alone. */
  referTo (name: string, description?: string): ReferringSchema {
    const definitions: Record<string, object> = {}
    const define = (name: string) => {
      if (name in definitions) return
      definitions[name] = withoutFormats(this.#schemas[name]) as object
      for (const [, other] of JSON.stringify(definitions[name]).matchAll(/"#\/definitions\/(\w+)"/g)) define(other!)
    }
    define(name)
    const schema: ReferringSchema = { ...NamedSchemas.ref(name), ...(description === undefined ? {} : { description }), definitions }
    this.#referring.push({ name, schema })
    return schema
  }

  /** Adds the schemas and the tags to a document, before its routes are added. A name that the host uses itself gets a prefix. */
  addTo ({ openapiObject, swaggerObject }: Documents): void {
    const document = openapiObject ?? swaggerObject!
    const schemas = openapiObject ? openapiObject.components.schemas : swaggerObject!.definitions
    const [version, pointer] = openapiObject ? [openapiObject.openapi, '#/components/schemas/'] : ['2.0', POINTER]
    const isTaken = (name: string) => name in schemas && !this.#added.has(schemas[name]!)
    const names = new Map(Object.keys(this.#schemas).map(name => [name, isTaken(name) ? `AsyncCharts${name}` : name]))
    for (const [name, schema] of Object.entries(this.#schemas)) {
      const added = toNotation(schema, version, pointer, names) as object
      this.#added.add(added)
      schemas[names.get(name)!] = added
    }
    this.#rename(names)
    const known = document.tags ?? []
    document.tags = [...known, ...this.#tags.filter(tag => !known.some(({ name }) => name === tag.name))]
  }

  /** Lets the schemas of responses refer to the names that the document has. */
  #rename (names: ReadonlyMap<string, string>): void {
    for (const { name, schema } of this.#referring) {
      const shown = names.get(name)!
      schema.$ref = NamedSchemas.ref(shown).$ref
      schema.definitions[shown] = schema.definitions[name]!
    }
  }
}
