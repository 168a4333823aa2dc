import { hash as hashOf } from 'node:crypto'
import type { JsonValue } from '../task.ts'

const hash = (...parts: string[]): Buffer => hashOf('sha256', parts.map(part => `${part.length}:${part}`).join(''), 'buffer')

/** The same JSON whatever the order of its keys. */
function canonical (value: JsonValue | undefined): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? ''
  return `{${Object.keys(value).sort().map(key => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`
}

/** What makes two things the same, as a short key. */
export function digest (...parts: Array<JsonValue | undefined>): string {
  return hash(...parts.map(canonical)).subarray(0, 18).toString('base64url')
}

/**
 * The chart that a lease makes: each lease has one of its own, and whoever knows the lease knows it. So a completion can be
 * repeated, and what an earlier lease left in the host's store can be found. A UUID of version 8 (RFC 9562).
 */
export function chartIdOf (task_id: string, lease: number): string {
  const bytes = hash(task_id, String(lease)).subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The charts that the first leases of a task, `count` of them, may have made. */
export const chartIdsOf = (task_id: string, count: number): string[] => Array.from({ length: count }, (_, i) => chartIdOf(task_id, i + 1))
