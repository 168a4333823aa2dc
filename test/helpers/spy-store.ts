import type { TaskStore } from '../../lib/index.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import type { Queue } from './queue.ts'

export interface Spy {
  readonly store: TaskStore
  /** How often the verb was called. */
  calls (verb: keyof TaskStore): number
  /** Every call, in order. */
  readonly log: ReadonlyArray<{ readonly verb: keyof TaskStore, readonly args: readonly unknown[] }>
}

/** The queue's store for one worker, with every call written down. */
export function spyOnStore (queue: Queue): Spy {
  const target = queue.place.store ?? new RedisStore({ redis: queue.redis!, keyPrefix: queue.keyPrefix })
  if (!queue.place.store) queue.closing.push(() => target.close())
  const log: Array<{ verb: keyof TaskStore, args: unknown[] }> = []
  const store = new Proxy(target, {
    get (store, verb: keyof TaskStore) {
      return (...args: unknown[]) => {
        log.push({ verb, args })
        return (store[verb] as (...args: unknown[]) => unknown)(...args)
      }
    }
  })
  return { store, log, calls: verb => log.filter(call => call.verb === verb).length }
}
