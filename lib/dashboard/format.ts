const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export const count = (value: number): string => value.toLocaleString('en-US')

/** A duration in ms as text. */
export function duration (ms: number): string {
  if (ms < SECOND) return `${Math.round(ms)} ms`
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`
  if (ms < MINUTE) return `${Math.round(ms / SECOND)} s`
  if (ms < HOUR) return parts(ms, MINUTE, 'min', SECOND, 's')
  if (ms < DAY) return parts(ms, HOUR, 'h', MINUTE, 'min')
  return parts(ms, DAY, 'd', HOUR, 'h')
}

function parts (ms: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor(ms % large / small)
  return `${Math.floor(ms / large)} ${largeUnit}${rest === 0 ? '' : ` ${rest} ${smallUnit}`}`
}

/** A time as text for browsers without the script, which shows it relative to now. */
export const utc = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`

/** The time of day in UTC. */
export const hourAndMinute = (iso: string): string => iso.slice(11, 16)

export const bytes = (value: number): string => value < 1_024 ? `${value} bytes` : `${(value / 1_024).toFixed(1)} KiB`

/** A step as text. */
export const words = (name: string): string => name.replaceAll('_', ' ')

/** ms between two times; null if one of them is not known yet. */
export function between (from: string | null, to: string | null): number | null {
  return from === null || to === null ? null : Math.max(0, Date.parse(to) - Date.parse(from))
}
