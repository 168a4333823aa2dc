import { errors } from '../errors.ts'
import { BatchRequestSchema, CreateChartRequestSchema, type BatchedChartRequest, type CreateChartRequest } from '../task.ts'
import { describeIssues, embeddable, isStorable, strictValidator, type Validator } from '../validator.ts'

/** Checks what a program asks for. Both throw CHARTS_ERR_INVALID_REQUEST, which names every issue. */
export interface RequestChecks {
  one (request: CreateChartRequest): void
  many (requests: readonly BatchedChartRequest[]): void
}

/** `paramsSchema`: the host's schema of `params`; without it, `params` is refused. */
export function requestChecks (paramsSchema: object | undefined): RequestChecks {
  const { tasks } = BatchRequestSchema.properties
  const validateOne = strictValidator(withParams(CreateChartRequestSchema, paramsSchema), paramsSchema)
  const validateMany = strictValidator({ ...BatchRequestSchema, properties: { tasks: { ...tasks, items: withParams(tasks.items, paramsSchema) } } }, paramsSchema)

  /** `hasParams` is called only where the request can be read without an error. */
  const check = (validate: Validator, request: unknown, hasParams: () => boolean): void => {
    if (validate(request)) return
    const issues = validate.errors!
    if (paramsSchema === undefined && isStorable(issues) && hasParams()) {
      throw new errors.CHARTS_ERR_INVALID_REQUEST('params is not accepted: the host has given no paramsSchema')
    }
    throw new errors.CHARTS_ERR_INVALID_REQUEST(describeIssues(issues, 'request'))
  }

  return {
    one: request => check(validateOne, request, () => Boolean(request?.params)),
    many: requests => check(validateMany, { tasks: requests }, () => Boolean(requests?.some?.(request => request?.params !== undefined)))
  }
}

const withParams = <T extends { properties: object }>(schema: T, paramsSchema: object | undefined) =>
  ({ ...schema, properties: { ...schema.properties, params: paramsSchema ? embeddable(paramsSchema) : false } })
