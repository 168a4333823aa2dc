import { hashOf } from './digest.ts'

/**
 * The id of the chart that an attempt makes: a UUID of version 8 (RFC 9562), computed from the lease. A completion that is repeated
 * therefore names the same chart, and charts that earlier leases left in the host's `chartStore` are found without a list.
 */
export function chartIdOf (task_id: string, lease: number): string {
  const bytes = hashOf(task_id, String(lease)).subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The ids of the charts that the first `count` leases of a task may have made. */
export const chartIdsOf = (task_id: string, count: number): string[] => Array.from({ length: count }, (_, i) => chartIdOf(task_id, i + 1))
