import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { MAX_DEPTH, isHolder, jsonMembers, locateJsonFault } from './json.ts'

/** One thing that is wrong with an input, in the terms of Ajv. */
export type ValidationIssue = Pick<ErrorObject, 'instancePath' | 'keyword' | 'params' | 'message'>

/** Says whether an input is valid. `errors` has the issues of the last input. */
export interface Validator {
  (input: unknown): boolean
  errors?: ErrorObject[] | null
}

/** Up to this many values, all issues of an input are collected: each value may have one. In a larger input, only the first is. */
const MAX_FULLY_VALIDATED = 2_000
/** Values after which counting stops: unlike JSON, an object that a program passes may contain itself, more than once. */
const MAX_COUNTED = 10_000_000
/** Issues that a message names. */
const MAX_NAMED = 20
/** Characters of one issue in a message: it may quote what the caller sent. */
const MAX_ISSUE_LENGTH = 500

/** The keyword of the issue that an input cannot be stored: it is nested too deep, or JSON cannot hold it as it is. */
const NOT_STORABLE = 'storable'

/** False if JSON cannot hold the input, or it is nested too deep. True if the input merely does not match the schema. */
export const isStorable = (issues: readonly ValidationIssue[]): boolean => issues[0]?.keyword !== NOT_STORABLE

/** Whether a schema uses draft 2020-12, which zod and others write. A schema that does not name its draft uses draft-07. */
export const isDraft2020 = (schema: object | undefined): boolean =>
  (schema as { $schema?: unknown } | undefined)?.$schema === 'https://json-schema.org/draft/2020-12/schema'

/**
 * An Ajv that reports every issue, coerces nothing and removes nothing.
 * `paramsSchema`: the host's schema of `params`, which decides the draft.
 */
export function strictAjv (options: Options = {}, paramsSchema?: object | undefined): Ajv | Ajv2020 {
  const ajv = new (isDraft2020(paramsSchema) ? Ajv2020 : Ajv)({ allErrors: true, strict: false, logger: false, ...options })
  addFormats.default(ajv)
  return ajv
}

/** By schema and options as JSON. The routes and the service of one registration use the same schemas, and compiling one takes tens of ms. */
const compiled = new Map<string, ValidateFunction>()

/** Compiles a schema once per process. The schema must be valid: one of ours, or one of the host's that has been checked. */
export function compileStrict (schema: object, options: Options = {}, paramsSchema?: object | undefined): ValidateFunction {
  const key = JSON.stringify([options, isDraft2020(paramsSchema), schema])
  let validate = compiled.get(key)
  if (!validate) {
    validate = strictAjv({ validateSchema: false, ...options }, paramsSchema).compile(schema)
    compiled.set(key, validate)
  }
  return validate
}

/** Prepares a schema of the host for use inside one of ours: it gets an id, so that its references resolve within itself. */
export function embeddable (schema: object): object {
  return { $id: 'urn:fastify-async-charts:params', ...schema }
}

/**
 * Counts the values of an input and its levels of nesting, up to `MAX_DEPTH + 1`. Not recursive, so that no input exhausts the stack.
 * @throws for what JSON cannot hold
 */
function measure (input: unknown): { values: number, depth: number } {
  let values = 0
  let depth = 0
  for (let level = isHolder(input) ? [input] : []; level.length > 0 && depth <= MAX_DEPTH; depth++) {
    const next: object[] = []
    for (const holder of level) {
      if (values > MAX_COUNTED) return { values, depth }
      const held = jsonMembers(holder)
      values += held.length
      for (const value of held) if (isHolder(value)) next.push(value)
    }
    level = next
  }
  return { values, depth }
}

/**
 * A validator for request bodies. Whatever the body contains, validation costs little more than parsing: in a body with many values
 * only the first issue is looked for, and a body that is nested too deep is refused before a recursive schema descends into it.
 * `paramsSchema`: the host's schema of `params`, which may be part of `schema`.
 */
export function strictValidator (schema: object, paramsSchema?: object | undefined): Validator {
  const findFirst = compileStrict(schema, { allErrors: false }, paramsSchema)
  let findAll: ValidateFunction | undefined
  const validator: Validator = input => {
    try {
      const { values, depth } = measure(input)
      validator.errors = depth > MAX_DEPTH ? [tooDeep] : null
      if (validator.errors || findFirst(input)) return validator.errors === null
      findAll ??= compileStrict(schema, {}, paramsSchema)
      validator.errors = values > MAX_FULLY_VALIDATED || findAll(input) ? findFirst.errors! : findAll.errors!
    } catch {
      // Parsed JSON never gets here. An object that a program passes may hold what JSON cannot, or have a getter that throws.
      const { path, message } = locateJsonFault(input as object)
      validator.errors = [notStorable(path, message)]
    }
    return false
  }
  return validator
}

const notStorable = (instancePath: string, message: string): ErrorObject =>
  ({ instancePath, schemaPath: '#', keyword: NOT_STORABLE, params: {}, message })
const tooDeep = notStorable('', `must not be nested deeper than ${MAX_DEPTH} levels`)

/**
 * Removes the noise of nullable values. Their schema is an `anyOf` with null, so Ajv also reports that the value is not null and
 * that no alternative matches, neither of which helps the caller.
 */
function withoutAlternatives (issues: readonly ValidationIssue[]): ValidationIssue[] {
  const withAlternatives = new Set(issues.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath))
  const isNull = ({ keyword, params, instancePath }: ValidationIssue) => keyword === 'type' && params['type'] === 'null' && withAlternatives.has(instancePath)
  const explained = new Set(issues.filter(issue => issue.keyword !== 'anyOf' && !isNull(issue)).map(({ instancePath }) => instancePath))
  return issues.filter(issue => !isNull(issue) && !(issue.keyword === 'anyOf' && explained.has(issue.instancePath)))
}

function describeIssue ({ instancePath, keyword, params, message }: ValidationIssue, subject: string): string {
  const at = `${subject}${instancePath}`
  switch (keyword) {
    case 'additionalProperties': return `${at} must not have ${params['additionalProperty']}`
    case 'enum': return `${at} must be one of ${params['allowedValues'].join(', ')}`
    case 'false schema': return `${at} is not accepted`
    case 'format': return params['format'] === 'date-time'
      ? `${at} must be a date with a time and a zone, such as 2030-01-31T09:00:00Z`
      : `${at} ${message}`
    default: return `${at} ${message}`
  }
}

/** The issues as one message, each with the path of the invalid value, 20 at most. `subject`: the name of the whole input, such as `body`. */
export function describeIssues (issues: readonly ValidationIssue[], subject: string): string {
  const shown = withoutAlternatives(issues)
  const texts = shown.slice(0, MAX_NAMED).map(issue => {
    const text = describeIssue(issue, subject)
    return text.length > MAX_ISSUE_LENGTH ? `${text.slice(0, MAX_ISSUE_LENGTH)}…` : text
  })
  if (shown.length > MAX_NAMED) texts.push(`… and ${shown.length - MAX_NAMED} more`)
  return texts.join(', ')
}
