import { errors } from '../errors.ts'

/** Where a page of a list ended: in which index, and the last member that was considered. */
export interface ListPosition {
  readonly index: 'active' | 'finished'
  readonly score: string
  readonly task_id: string
}

const CURSOR = /^(active|finished)\.(\d{1,16})\.([0-9a-f-]{36})$/

export const toCursor = ({ index, score, task_id }: ListPosition): string => `${index}.${score}.${task_id}`

/** @throws CHARTS_ERR_INVALID_REQUEST: it is not a cursor of `toCursor` */
export function readCursor (cursor: string): ListPosition {
  const [, index, score, task_id] = CURSOR.exec(cursor) ?? []
  if (index === undefined) throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a list has given')
  return { index: index as ListPosition['index'], score: score!, task_id: task_id! }
}
