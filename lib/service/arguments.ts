import { errors } from '../errors.ts'

/** An id in the form in which it is kept. @throws CHARTS_ERR_INVALID_REQUEST for what is no text */
export function idOf (id: unknown, name = 'task_id'): string {
  if (typeof id !== 'string') throw new errors.CHARTS_ERR_INVALID_REQUEST(`${name} must be a string`)
  return id.toLowerCase()
}

/** A lease as `dequeueChartTask` gave it. @throws CHARTS_ERR_INVALID_REQUEST for what is no whole number */
export function leaseOf (lease: unknown): number {
  if (!Number.isSafeInteger(lease)) throw new errors.CHARTS_ERR_INVALID_REQUEST('lease must be a whole number')
  return lease as number
}
