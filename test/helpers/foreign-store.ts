import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import { errors, memoryStore, type StoredTask, type TaskStore } from '../../lib/index.ts'
import type { HintListener, ListQuery, TaskPage } from '../../lib/store/task-store.ts'
import { seeded, type Random } from './random.ts'

const MAX_DELAY_MS = 2

/**
 * A store that differs from the built-in ones wherever the port leaves a choice. It keeps tasks in a memory store, and is told apart by all
 * that surrounds it, as a store on another machine would be:
 * - cursors are encrypted with a key of its own, and never the same twice;
 * - pages are shorter than asked for, also empty, while others follow;
 * - every call and every answer takes its time, so calls under way overtake each other;
 * - arguments and results are copies; results are frozen, with their keys in another order;
 * - hints come late, and each of them twice;
 * - workers are notified without work;
 * - only the methods of the port exist, `now` only where a test sets the clock.
 */
export function foreignStore ({ now, seed = 1 }: { now?: () => number, seed?: number } = {}): TaskStore {
  const inner = memoryStore({ now })
  const random = seeded(seed)
  const cursors = new SealedCursors()
  const call = async <T>(method: (...args: never[]) => Promise<T>, args: unknown[]): Promise<T> => {
    const copies = args.map(copyOf)
    await pause(random)
    const result = await method(...copies as never[])
    await pause(random)
    return copyOf(result)
  }
  const remote = <T>(method: (...args: never[]) => Promise<T>) => (...args: unknown[]): Promise<T> => call(method.bind(inner), args)
  return {
    enqueue: remote(inner.enqueue),
    enqueueBatch: remote(inner.enqueueBatch),
    cancel: remote(inner.cancel),
    cancelAll: remote(inner.cancelAll),
    claim: remote(inner.claim),
    settleAttempts: remote(inner.settleAttempts),
    progress: remote(inner.progress),
    checkpoint: remote(inner.checkpoint),
    extend: remote(inner.extend),
    read: remote(inner.read),
    readRequest: remote(inner.readRequest),
    readContent: remote(inner.readContent),
    readContents: remote(inner.readContents),
    readMessage: remote(inner.readMessage),
    readActive: remote(inner.readActive),
    readEnded: remote(inner.readEnded),
    readBatch: remote(inner.readBatch),
    stats: remote(inner.stats),
    snapshot: remote(inner.snapshot),
    inspect: remote(inner.inspect),
    setPaused: remote(inner.setPaused),
    cleanup: remote(inner.cleanup),
    registerWorker: remote(inner.registerWorker),
    removeWorker: remote(inner.removeWorker),
    readWorkers: remote(inner.readWorkers),
    addHistory: remote(inner.addHistory),
    readHistory: remote(inner.readHistory),
    subscribe: remote(inner.subscribe),
    subscribeMessage: remote(inner.subscribeMessage),
    checkHealth: remote(inner.checkHealth),
    ready: remote(inner.ready),
    close: remote(inner.close),
    list: query => call(async ({ filter, limit, cursor }: ListQuery): Promise<TaskPage<StoredTask>> => {
      const position = cursor === null ? null : cursors.open(cursor)
      // Part of a page, or none of it.
      const count = random.between(0, limit)
      const page = count === 0 && limit > 1 ? { tasks: [], cursor: position ?? START } : await inner.list({ filter, limit: Math.max(1, count), cursor: position === START ? null : position })
      return { tasks: page.tasks, cursor: page.cursor === null ? null : cursors.seal(page.cursor) }
    }, [query]),
    waitForWork: async (timeout, signal) => {
      if (random.between(0, 3) > 0) return inner.waitForWork(timeout, signal)
      await pause(random)
    },
    listen: listener => {
      const ended = new AbortController()
      const off = inner.listen(slowly(listener, ended.signal))
      return () => {
        ended.abort()
        off()
      }
    },
    unsubscribe: task_id => inner.unsubscribe(task_id),
    unsubscribeMessage: (message_id, user_id) => inner.unsubscribeMessage(message_id, user_id),
    ...(now ? { now } : {})
  }
}

/** Stands for the begin of a list: a first page without tasks has to be gone on from. */
const START = 'start'

const pause = (random: Random): Promise<unknown> => random.between(0, 31) > 0 ? setImmediate() : delay(random.between(0, MAX_DELAY_MS))

/** As another process would have it: nothing shared with the original, which nobody may change. */
function copyOf<T> (value: T): T {
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, copyOf(item)])) as T
  if (Array.isArray(value)) return Object.freeze(value.map(copyOf)) as T
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, item]) => item !== undefined).reverse()
  return Object.freeze(Object.fromEntries(entries.map(([key, item]) => [key, copyOf(item)]))) as T
}

/** Hints arrive late, in their order, and twice. */
function slowly (listener: HintListener, ended: AbortSignal): HintListener {
  let queue = Promise.resolve<unknown>(undefined)
  const later = (times: number, hear: () => void) => {
    queue = queue.then(() => setImmediate()).then(() => { for (let i = 0; i < times && !ended.aborted; i++) hear() })
  }
  return {
    hint: (task_id, state) => later(2, () => listener.hint(task_id, copyOf(state))),
    cancelled: task_id => later(2, () => listener.cancelled(task_id)),
    added: (message_id, user_id) => later(2, () => listener.added(message_id, user_id)),
    feed: up => later(1, () => listener.feed(up))
  }
}

/** Cursors that nobody else can read or make. */
class SealedCursors {
  readonly #key = randomBytes(32)

  seal (position: string): string {
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv)
    const sealed = Buffer.concat([iv, cipher.update(position), cipher.final(), cipher.getAuthTag()])
    // Of characters that a URL has to escape.
    return `${sealed.toString('base64')}&=?`
  }

  open (cursor: string): string {
    const sealed = Buffer.from(cursor.slice(0, -'&=?'.length), 'base64')
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, 12))
      decipher.setAuthTag(sealed.subarray(-16))
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]).toString()
    } catch {
      throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a list has given')
    }
  }
}
