import { errors, type TaskStore } from '../../lib/index.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import type { Queue } from './queue.ts'

type Verb = keyof TaskStore
/** What is lost on the way: the request, so that nothing happens, or only the reply to it. */
type Loss = 'request' | 'reply'

export interface Spy {
  readonly store: TaskStore
  /** Every call, in order. */
  readonly log: ReadonlyArray<{ readonly verb: Verb, readonly args: readonly unknown[] }>
  /** How often the verb was called. */
  calls (verb: Verb): number
  /** From now on these verbs fail, all that ask the store where none is named. */
  lose (what: Loss, ...verbs: Verb[]): void
  restore (): void
}

const ASKING: readonly Verb[] = ['enqueue', 'claim', 'settleAttempts', 'progress', 'extend', 'cancel', 'read', 'cleanup']

/** The queue's store as one worker sees it: every call is written down, and may be lost. */
export function spyOnStore (queue: Queue): Spy {
  const target: TaskStore = queue.place.store ?? new RedisStore({ redis: queue.redis!, keyPrefix: queue.keyPrefix })
  if (!queue.place.store) queue.closing.push(() => target.close())
  const log: Array<{ verb: Verb, args: unknown[] }> = []
  const lost = new Map<Verb, Loss>()
  const store = new Proxy(target, {
    get (store, verb: Verb) {
      if (store[verb] === undefined) return undefined
      return (...args: unknown[]) => {
        log.push({ verb, args })
        const loss = lost.get(verb)
        if (loss === 'request') return Promise.reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())
        const answer = (store[verb] as (...args: unknown[]) => unknown)(...args)
        return loss ? Promise.resolve(answer).then(() => { throw new errors.CHARTS_ERR_STORE_UNAVAILABLE() }) : answer
      }
    }
  })
  return {
    store,
    log,
    calls: verb => log.filter(call => call.verb === verb).length,
    lose (what, ...verbs) { for (const verb of verbs.length > 0 ? verbs : ASKING) lost.set(verb, what) },
    restore () { lost.clear() }
  }
}
