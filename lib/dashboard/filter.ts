import type { ChartStatus } from '../task.ts'

/** Filter of the task list. The service checks its values. */
export interface Filter {
  readonly status?: ChartStatus
  readonly user_id?: string
  readonly org_id?: string
  readonly error_code?: string
  readonly created_after?: string
  readonly created_before?: string
}

const NAMES = ['status', 'user_id', 'org_id', 'error_code', 'created_after', 'created_before'] as const

/** The filter in a query. Empty fields are left out. */
export function filterOf (query: URLSearchParams): Filter {
  const filter: Record<string, string> = {}
  for (const name of NAMES) {
    const value = query.get(name)?.trim()
    if (value) filter[name] = name.startsWith('created_') ? instant(value) : value
  }
  return filter
}

/** A time as the service expects it. The field of the form has no zone: UTC, as its label says. The service refuses other texts. */
function instant (value: string): string {
  const zoned = /(?:Z|[+-]\d\d:\d\d)$/i.test(value) ? value : `${value}Z`
  const date = new Date(zoned)
  return Number.isNaN(date.getTime()) ? value : date.toISOString()
}

export const isNarrowed = (filter: Filter): boolean => Object.keys(filter).length > 0
