import { errors } from '../errors.ts'
import { MAX_ID_LENGTH, Uuid, isId } from '../task.ts'

const UUID = new RegExp(Uuid.pattern!)

/** An id in lower case, as it is stored. @throws CHARTS_ERR_INVALID_REQUEST: it is not a string, or a key cannot hold it */
export function idOf (id: unknown, name = 'task_id'): string {
  if (typeof id !== 'string') throw new errors.CHARTS_ERR_INVALID_REQUEST(`${name} must be a string`)
  if (id !== '' && !isId(id)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${name} must have at most ${MAX_ID_LENGTH} characters of well-formed Unicode`)
  return id.toLowerCase()
}

/**
 * The id of a message in lower case, as it is stored. It must be a UUID: in a key it precedes a user's id, and with any other format two
 * pairs of ids could have the same key. @throws CHARTS_ERR_INVALID_REQUEST
 */
export function messageIdOf (id: unknown): string {
  const message_id = idOf(id, 'message_id')
  if (!UUID.test(message_id)) throw new errors.CHARTS_ERR_INVALID_REQUEST('message_id must be a UUID')
  return message_id
}

/** An id that the host has chosen. @throws CHARTS_ERR_INVALID_REQUEST */
export function hostIdOf (id: unknown, name: string): string {
  if (!isId(id)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${name} must be a string of 1 to ${MAX_ID_LENGTH} characters of well-formed Unicode`)
  return id
}

/** A lease as `dequeueChartTask` returned it. @throws CHARTS_ERR_INVALID_REQUEST: it is not a whole number */
export function leaseOf (lease: unknown): number {
  if (!Number.isSafeInteger(lease)) throw new errors.CHARTS_ERR_INVALID_REQUEST('lease must be a whole number')
  return lease as number
}

/** RFC 3339, with a T between date and time. */
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i

/** A date in ms since the epoch. @throws CHARTS_ERR_INVALID_REQUEST: it is not a date with a time and a zone */
export function timeOf (date: unknown, name: string): number {
  const time = typeof date === 'string' && DATE.test(date) ? Date.parse(date) : NaN
  // The schema of a route accepts dates that Date does not: a leap second, a zone without minutes.
  if (Number.isNaN(time)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${name} must be a date with time and time zone, such as 2030-01-31T09:00:00Z`)
  return time
}
