/** Makes the references of a schema to its own parts absolute, with its id in them. */
function withAbsoluteReferences (schema: unknown, id: string): unknown {
  if (Array.isArray(schema)) return schema.map(member => withAbsoluteReferences(member, id))
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => {
    if (key === '$ref' && typeof value === 'string' && value.startsWith('#')) return [key, `${id}${value}`]
    // The references of a subschema with an id of its own are relative to that one.
    return [key, typeof value?.$id === 'string' ? value : withAbsoluteReferences(value, id)]
  }))
}

/**
 * The host's schema of `params`, for use as a part of ours: its references to its own parts still resolve, also in an OpenAPI document.
 * `name`: its id, if it has none.
 */
export function embeddedSchema (paramsSchema: object, name: string): object {
  if (!JSON.stringify(paramsSchema).includes('"$ref"')) return paramsSchema
  const { $id = name } = paramsSchema as { $id?: string }
  return withAbsoluteReferences({ ...paramsSchema, $id }, $id) as object
}

/** A body with the host's schema of `params`. Without one, `params` is refused like any unknown field. */
export function withParams<T extends { properties: { params?: unknown } }> (schema: T, paramsSchema: object | undefined): object {
  const { params: _, ...own } = schema.properties
  return { ...schema, properties: paramsSchema ? { ...own, params: paramsSchema } : own }
}
