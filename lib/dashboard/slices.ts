import { percentilesOf, type QueueHistory } from '../service/monitoring.ts'

/** Several minutes of history added up, because a plot of a day cannot show single minutes. */
export interface Slice {
  /** Start of the first minute. */
  readonly at: string
  readonly created: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  /** 95th percentile, ms; null without samples. */
  readonly wait: number | null
  readonly run: number | null
}

/** Maximum points of a plot. */
const MAX_SLICES = 96

/** Divides the history into slices of equal length, one per point of a plot. */
export function slices ({ minutes }: QueueHistory): Slice[] {
  const size = Math.ceil(minutes.length / MAX_SLICES)
  return Array.from({ length: Math.ceil(minutes.length / size) }, (_, i) => {
    const within = minutes.slice(i * size, (i + 1) * size)
    const sum = (value: (minute: (typeof within)[number]) => number) => within.reduce((total, minute) => total + value(minute), 0)
    return {
      at: within[0]!.at,
      created: sum(({ created }) => created),
      completed: sum(({ completed }) => completed),
      failed: sum(({ failed }) => Object.values(failed).reduce((total, count) => total + count, 0)),
      cancelled: sum(({ cancelled }) => cancelled),
      wait: percentilesOf(within.map(({ wait }) => wait)).p95,
      run: percentilesOf(within.map(({ run }) => run)).p95
    }
  })
}
