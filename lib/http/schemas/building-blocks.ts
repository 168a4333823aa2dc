import { Type, type TProperties, type TSchema } from '@sinclair/typebox'
import { NamedSchemas } from './named-schemas.ts'

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
/** A string with one of the values. */
export const oneOf = (values: readonly string[], description?: string) =>
  Type.Unsafe<string>({ type: 'string', enum: values, ...(description !== undefined && { description }) })
/** A reference to a named schema. */
export const ref = (name: string) => Type.Unsafe<unknown>(NamedSchemas.ref(name))
/** A named schema with further properties. */
export const extended = (name: string, properties: TProperties, description: string) => ({ allOf: [ref(name), Type.Object(properties)], description })

export const Timestamp = Type.String({ format: 'date-time' })
export const Count = Type.Integer({ minimum: 0 })
/** In responses to requests that create or retry a task. */
export const message = Type.String({ description: 'What has become of the request, for people' })
