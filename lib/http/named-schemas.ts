type Schema = Record<string, unknown>

/** How a schema refers to a named one: @fastify/swagger makes of it what the document's version wants. */
const POINTER = '#/definitions/'

/** A response schema that is a reference, with all that it refers to. */
export interface Root extends Schema {
  $ref: string
  readonly definitions: Record<string, object>
}

/** What @fastify/swagger is building: one of the two, by the version of the document. */
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

/** A host's validator may know no formats, and refuses a schema that has one. */
function withoutFormats (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutFormats)
  if (typeof schema !== 'object' || schema === null) return schema
  const { format, ...rest } = schema as Schema
  return mapValues(typeof format === 'string' ? rest : { ...schema }, withoutFormats)
}

/** A schema or null, as each version of OpenAPI says it. */
function nullable (schema: Schema, version: string): Schema {
  if (version.startsWith('2')) return { ...schema, 'x-nullable': true }
  const { enum: values } = schema
  if (!version.startsWith('3.0')) return values ? { anyOf: [schema, { type: 'null' }] } : { ...schema, type: [schema['type'], 'null'] }
  return { ...schema, nullable: true, ...(Array.isArray(values) && { enum: [...values, null] }) }
}

const isNull = (schema: unknown) => (schema as Schema)['type'] === 'null'

/**
 * Schemas that bear their names in the host's OpenAPI document, whatever its `refResolver`: @fastify/swagger numbers shared
 * schemas by default, so these are put into the document directly.
 */
export class NamedSchemas {
  readonly #plain: Record<string, object>
  readonly #tags: readonly Tag[]
  readonly #roots: Array<{ readonly name: string, readonly root: Root }> = []
  readonly #rendered = new WeakSet<object>()

  /** `schemas` refer to each other as `ref` does. */
  constructor (schemas: Record<string, object>, tags: readonly Tag[]) {
    this.#plain = schemas
    this.#tags = tags
  }

  static ref (name: string): { $ref: string } {
    return { $ref: `${POINTER}${name}` }
  }

  /** The schema of a response. It stands alone too, for validators that compile it. */
  root (name: string, description?: string): Root {
    const definitions: Record<string, object> = {}
    const add = (name: string) => {
      if (name in definitions) return
      definitions[name] = withoutFormats(this.#plain[name]) as object
      for (const [, other] of JSON.stringify(definitions[name]).matchAll(/"#\/definitions\/(\w+)"/g)) add(other!)
    }
    add(name)
    const root: Root = { ...NamedSchemas.ref(name), ...(description === undefined ? {} : { description }), definitions }
    this.#roots.push({ name, root })
    return root
  }

  /** Puts the schemas into a document before the routes are described; where the host uses one of the names, under another. */
  readonly enter = ({ openapiObject, swaggerObject }: Documents): void => {
    const document = openapiObject ?? swaggerObject!
    const schemas = openapiObject ? openapiObject.components.schemas : swaggerObject!.definitions
    const version = openapiObject ? openapiObject.openapi : '2.0'
    const isTaken = (name: string) => name in schemas && !this.#rendered.has(schemas[name]!)
    const names = new Map(Object.keys(this.#plain).map(name => [name, isTaken(name) ? `AsyncCharts${name}` : name]))
    const render = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(render)
      if (typeof value !== 'object' || value === null) return value
      const { $ref, anyOf } = value as { $ref?: string, anyOf?: unknown[] }
      if (typeof $ref === 'string') return { $ref: `${openapiObject ? '#/components/schemas/' : POINTER}${names.get($ref.slice(POINTER.length))}` }
      if (anyOf?.length === 2 && isNull(anyOf[1])) return nullable(render(anyOf[0]) as Schema, version)
      return mapValues(value, render)
    }
    for (const [name, schema] of Object.entries(this.#plain)) {
      const rendered = render(schema) as object
      this.#rendered.add(rendered)
      schemas[names.get(name)!] = rendered
    }
    for (const { name, root } of this.#roots) {
      const { $ref } = NamedSchemas.ref(names.get(name)!)
      root.$ref = $ref
      root.definitions[names.get(name)!] = root.definitions[name]!
    }
    const known = document.tags ?? []
    document.tags = [...known, ...this.#tags.filter(tag => !known.some(({ name }) => name === tag.name))]
  }
}
