// Tells what was sent from what scripts called: for one build in this process, whose commands it counts as they are sent.
import { Redis } from 'ioredis'
import { callsOf, numberIn } from './redis-info.ts'

/** What Redis has done meanwhile. */
export interface Work {
  /** µs of CPU of the thread that runs commands. */
  readonly cpu: number
  /** Commands that came over a connection. */
  readonly wire: number
  /** Commands that scripts called. */
  readonly inside: number
}

let sent = 0
const { sendCommand } = Redis.prototype
// On the prototype, so that it counts for every duplicate that the package makes for itself.
Redis.prototype.sendCommand = function (this: Redis, ...args: Parameters<typeof sendCommand>) {
  sent++
  return sendCommand.apply(this, args)
}

/** Starts to measure; what it returns says how much it was. */
export async function meter (redis: Redis): Promise<() => Promise<Work>> {
  const before = cpuOf(await redis.info('cpu'))
  await redis.config('RESETSTAT')
  const sentBefore = sent
  return async () => {
    // Before the INFO, which is not in its own statistics.
    const wire = sent - sentBefore
    const info = await redis.info('cpu', 'commandstats')
    // The statistics of Redis do not tell them apart: what was not sent, a script has called.
    return { cpu: cpuOf(info) - before, wire, inside: callsOf(info) - wire }
  }
}

function cpuOf (info: string): number {
  return 1e6 * (numberIn(info, 'used_cpu_user_main_thread') + numberIn(info, 'used_cpu_sys_main_thread'))
}
