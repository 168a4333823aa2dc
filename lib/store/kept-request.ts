import { isLongQuery, MOST_KEPT, type ChartRequest } from '../task.ts'

/** What is kept of a request of which nobody will make a chart: of a long one neither `params` nor an `adjustment_query` that is long. */
export function shorten (request: string): string {
  if (Buffer.byteLength(request) <= MOST_KEPT) return request
  const { params, ...kept } = JSON.parse(request) as ChartRequest
  return JSON.stringify(isLongQuery(kept.adjustment_query) ? { ...kept, adjustment_query: null } : kept)
}
