import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { MAX_DEPTH, isHolder, jsonMembers, locateJsonFault } from './json.ts'

/** What is wrong with an input, as Ajv says it. */
export type Fault = Pick<ErrorObject, 'instancePath' | 'keyword' | 'params' | 'message'>

/** Judges an input; what is wrong with the last one is in `errors`. */
export interface Judge {
  (input: unknown): boolean
  errors?: ErrorObject[] | null
}

/** Values of an input of which all faults are looked for: each of a million may have one. */
const MOST_JUDGED = 2_000
/** Values that are counted: what a program gives, unlike JSON, may hold itself, twice even. */
const MOST_COUNTED = 10_000_000
/** Faults that are named. */
const MOST_NAMED = 20
/** Characters of a fault that are shown: it may name what the caller has named. */
const LONGEST_FAULT = 500

/** The keyword of the fault that an input cannot be stored: it is nested too deep, or JSON cannot hold it as it is. */
const NOT_STORABLE = 'storable'

/** Whether it is the schema that an input does not fit; otherwise JSON cannot hold it, or it is nested too deep. */
export const isStorable = (faults: readonly Fault[]): boolean => faults[0]?.keyword !== NOT_STORABLE

/** Whether a schema is of draft 2020-12, as zod and others write it; without a word about it, it is of draft-07. */
export const isDraft2020 = (schema: object | undefined): boolean =>
  (schema as { $schema?: unknown } | undefined)?.$schema === 'https://json-schema.org/draft/2020-12/schema'

/** Judges input as it is: every fault is named, nothing is coerced, nothing is dropped. `paramsSchema`: whose draft is spoken. */
export function strictAjv (options: Options = {}, paramsSchema?: object | undefined): Ajv | Ajv2020 {
  const ajv = new (isDraft2020(paramsSchema) ? Ajv2020 : Ajv)({ allErrors: true, strict: false, logger: false, ...options })
  addFormats.default(ajv)
  return ajv
}

/** By their schemas as JSON. The routes and the service of one registration validate by the same schemas, and to compile one takes tens of ms. */
const compiled = new Map<string, ValidateFunction>()

/** A validator of a schema that is known to be one: of our own, or a host's that was checked. Compiled once in a process. */
export function compileStrict (schema: object, options: Options = {}, paramsSchema?: object | undefined): ValidateFunction {
  const key = JSON.stringify([options, isDraft2020(paramsSchema), schema])
  let validate = compiled.get(key)
  if (!validate) {
    validate = strictAjv({ validateSchema: false, ...options }, paramsSchema).compile(schema)
    compiled.set(key, validate)
  }
  return validate
}

/** A schema of the host's, to stand inside one of ours: with an id, so that its references are to itself. */
export function embeddable (schema: object): object {
  return { $id: 'urn:fastify-async-charts:params', ...schema }
}

/** How many values an input holds and how deep they are nested, `MAX_DEPTH` and one at most; not recursive itself. Throws for what is no JSON. */
function measure (input: unknown): { values: number, depth: number } {
  let values = 0
  let depth = 0
  for (let level = isHolder(input) ? [input] : []; level.length > 0 && depth <= MAX_DEPTH; depth++) {
    const next: object[] = []
    for (const holder of level) {
      if (values > MOST_COUNTED) return { values, depth }
      const held = jsonMembers(holder)
      values += held.length
      for (const value of held) if (isHolder(value)) next.push(value)
    }
    level = next
  }
  return { values, depth }
}

/**
 * Judges bodies by a schema, strictly. It costs little more than reading them, whatever is in them: of a body with many
 * values only the first fault is looked for, and one that is nested too deep is refused before a recursive schema follows it.
 * `paramsSchema`: the host's, of which `schema` may be made.
 */
export function strictJudge (schema: object, paramsSchema?: object | undefined): Judge {
  const first = compileStrict(schema, { allErrors: false }, paramsSchema)
  let all: ValidateFunction | undefined
  const judge: Judge = input => {
    try {
      const { values, depth } = measure(input)
      judge.errors = depth > MAX_DEPTH ? [tooDeep] : null
      if (judge.errors || first(input)) return judge.errors === null
      all ??= compileStrict(schema, {}, paramsSchema)
      judge.errors = values > MOST_JUDGED || all(input) ? first.errors! : all.errors!
    } catch {
      // Only of what a program gives: it may hold what no JSON has, and throw where it is read.
      const { path, message } = locateJsonFault(input as object)
      judge.errors = [notStorable(path, message)]
    }
    return false
  }
  return judge
}

const notStorable = (instancePath: string, message: string): ErrorObject =>
  ({ instancePath, schemaPath: '#', keyword: NOT_STORABLE, params: {}, message })
const tooDeep = notStorable('', `must not be nested deeper than ${MAX_DEPTH} levels`)

/** What may be null is a choice of two to the schema: that it is not null, and neither of both, is nothing to mend. */
function withoutChoices (faults: readonly Fault[]): Fault[] {
  const chosen = new Set(faults.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath))
  const isNull = ({ keyword, params, instancePath }: Fault) => keyword === 'type' && params['type'] === 'null' && chosen.has(instancePath)
  const told = new Set(faults.filter(fault => fault.keyword !== 'anyOf' && !isNull(fault)).map(({ instancePath }) => instancePath))
  return faults.filter(fault => !isNull(fault) && !(fault.keyword === 'anyOf' && told.has(fault.instancePath)))
}

function nameFault ({ instancePath, keyword, params, message }: Fault, what: string): string {
  const at = `${what}${instancePath}`
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

/** The faults in a sentence, each with the name of what is wrong, 20 at most. `what` is the whole that was judged. */
export function nameFaults (faults: readonly Fault[], what: string): string {
  const told = withoutChoices(faults)
  const named = told.slice(0, MOST_NAMED).map(fault => {
    const text = nameFault(fault, what)
    return text.length > LONGEST_FAULT ? `${text.slice(0, LONGEST_FAULT)}…` : text
  })
  if (told.length > MOST_NAMED) named.push(`… and ${told.length - MOST_NAMED} more`)
  return named.join(', ')
}
