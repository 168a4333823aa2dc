import { setMaxListeners } from 'node:events'
import { Signal } from '../async.ts'
import type { Logger } from '../generator.ts'
import type { HintListener, HintSource, TaskReader, TaskState } from '../store/task-store.ts'
import { ChartStatus, isFinished, shownCancelled, type StoredTask } from '../task.ts'
import { Place, type Topic } from './topic.ts'

/** ms after which all watched tasks are read although hints arrive: a single hint may be lost unnoticed. */
const RECHECK_INTERVAL_MS = 15_000
/** Number of tasks that are read in one round trip. */
const PAGE_SIZE = 200

export interface WatchOptions {
  /** A version that the caller has seen. */
  readonly after?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface TaskFeedOptions {
  readonly store: HintSource & TaskReader
  /** ms between two reads of watched tasks while hints do not arrive. */
  readonly pollInterval: number
  readonly logger: Logger
}

/**
 * Watches tasks for all readers in this process. A hint may be lost, late or repeated. So a watch subscribes first and reads second, and
 * drops states that are not newer; while hints do not arrive, watched tasks are polled. A slow reader skips states, but never the last one.
 */
export class TaskFeed implements HintListener {
  readonly #store: HintSource & TaskReader
  readonly #pollInterval: number
  readonly #logger: Logger
  readonly #topics = new Map<string, Topic>()
  readonly #messages = new Map<string, Set<() => void>>()
  readonly #cancelListeners = new Set<(task_id: string) => void>()
  readonly #feedListeners = new Set<(up: boolean) => void>()
  readonly #unlisten: () => void
  readonly #closing = new AbortController()
  #isClosed = false
  #timer: NodeJS.Timeout | undefined
  #up = false
  #checkedAt = 0
  #isChecking = false
  /** Whether another check was requested while one was under way. */
  #isOutdated = false

  constructor (options: TaskFeedOptions) {
    this.#store = options.store
    this.#pollInterval = options.pollInterval
    this.#logger = options.logger
    this.#unlisten = this.#store.listen(this)
    // One listener per stream of many tasks: many are no leak.
    setMaxListeners(0, this.closing)
  }

  /** Aborted when the feed closes. */
  get closing (): AbortSignal {
    return this.#closing.signal
  }

  /**
   * Yields the task's states, each newer than the one before. Ends after the finished state, or when the task is no longer kept.
   * @throws CHARTS_ERR_STORE_UNAVAILABLE: the first read failed
   */
  async * watch (task_id: string, options: WatchOptions = {}): AsyncGenerator<StoredTask, void, void> {
    const { signal } = options
    const changed = new Signal()
    const { opened, leave } = this.#enter(task_id, options, changed.notify)
    try {
      const place = await opened
      while (!this.#isClosed && !signal?.aborted) {
        const task = place.next()
        if (task === null) return
        if (task) {
          yield task
          if (isFinished(task)) return
        } else {
          await changed.wait()
        }
      }
    } finally {
      leave()
    }
  }

  /**
   * As `watch`, but calls `deliver` with each state, and waits for the promise if it returns one. Resolves at the end. For a thousand
   * readers of a task: to resume a generator takes a third of the time in which a state is sent to one of them.
   */
  async follow (task_id: string, options: WatchOptions, deliver: (task: StoredTask) => Promise<unknown> | undefined): Promise<void> {
    const { signal } = options
    let look = (): void => {}
    const { opened, leave } = this.#enter(task_id, options, () => look())
    try {
      const place = await opened
      await new Promise<void>((resolve, reject) => {
        let isDelivering = false
        let last: StoredTask | undefined
        const delivered = (): void => {
          isDelivering = false
          look()
        }
        look = () => {
          try {
            while (!isDelivering) {
              const isOver = this.#isClosed || signal?.aborted || (last && isFinished(last))
              const task = isOver ? null : place.next()
              if (task === undefined) return
              if (task === null) return resolve()
              last = task
              const delivery = deliver(task)
              if (!delivery) continue
              isDelivering = true
              delivery.then(delivered, reject)
            }
          } catch (error) {
            reject(error)
          }
        }
        look()
      })
    } finally {
      leave()
    }
  }

  /** Calls `more` when a user may have more tasks of a message. Resolves to a function that ends this. */
  async onMore (message_id: string, user_id: string, more: () => void): Promise<() => void> {
    const key = `${message_id}:${user_id}`
    const known = this.#messages.get(key)
    if (known) known.add(more)
    else this.#messages.set(key, new Set([more]))
    // While hints do not arrive, there may be more at any time.
    const timer = setInterval(() => { if (!this.#up) more() }, this.#pollInterval).unref()
    const off = () => {
      clearInterval(timer)
      const listeners = this.#messages.get(key)
      listeners?.delete(more)
      if (listeners?.size !== 0) return
      this.#messages.delete(key)
      this.#store.unsubscribeMessage(message_id, user_id)
    }
    try {
      await this.#store.subscribeMessage(message_id, user_id)
    } catch (error) {
      off()
      throw error
    }
    return off
  }

  /** Calls `listener` when a running task was cancelled in any process. Returns a function that ends this. */
  onCancelled (listener: (task_id: string) => void): () => void {
    this.#cancelListeners.add(listener)
    return () => this.#cancelListeners.delete(listener)
  }

  /** Calls `listener` now, and whenever it changes whether hints arrive. Returns a function that ends this. */
  onFeed (listener: (up: boolean) => void): () => void {
    this.#feedListeners.add(listener)
    listener(this.#up)
    return () => this.#feedListeners.delete(listener)
  }

  /** As `HintListener`, like `added`, `cancelled` and `feed`. */
  hint (task_id: string, state: TaskState): void {
    const topic = this.#topics.get(task_id)
    if (!topic) return
    if (topic.task === undefined) {
      if (!topic.early || state.version > topic.early.version) topic.early = state
    } else if (topic.task && state.version > topic.task.version && state.status !== ChartStatus.PENDING) {
      this.#set(topic, shownCancelled({ ...topic.task, ...state }))
    } else {
      // A hint of a PENDING task lacks its queue position. A hint that is not newer may mean that the store has lost writes.
      this.#refresh([topic]).catch(error => this.#logger.debug({ err: error, task_id }, 'a task could not be read again'))
    }
  }

  added (message_id: string, user_id: string): void {
    for (const more of this.#messages.get(`${message_id}:${user_id}`) ?? []) more()
  }

  cancelled (task_id: string): void {
    for (const listener of this.#cancelListeners) listener(task_id)
  }

  feed (up: boolean): void {
    this.#up = up
    this.#logger.debug({ up }, up ? 'task updates arrive' : 'task updates do not arrive, polling')
    for (const listener of this.#feedListeners) listener(up)
    if (!up) return
    void this.#check()
    for (const listeners of this.#messages.values()) for (const more of listeners) more()
  }

  close (): void {
    this.#isClosed = true
    this.#closing.abort()
    for (const topic of this.#topics.values()) for (const changed of topic.watchers) changed()
    this.#unlisten()
    clearInterval(this.#timer)
  }

  /** Adds a watcher. `changed` is called when there may be a new state, and when the watch is over; `opened` resolves to where it begins. */
  #enter (task_id: string, { after = 0, signal }: WatchOptions, changed: () => void): { opened: Promise<Place>, leave: () => void } {
    const wasOpen = this.#topics.has(task_id)
    const topic = this.#join(task_id)
    topic.watchers.add(changed)
    signal?.addEventListener('abort', changed)
    return {
      opened: this.#placeOf(topic, wasOpen, after),
      leave: () => {
        signal?.removeEventListener('abort', changed)
        this.#leave(topic, changed)
      }
    }
  }

  async #placeOf (topic: Topic, wasOpen: boolean, after: number): Promise<Place> {
    await topic.opened
    // Hints do not carry the queue position: it is as old as the last read.
    if (wasOpen && topic.task?.status === ChartStatus.PENDING) {
      await (topic.refreshing ??= this.#refresh([topic]).finally(() => { topic.refreshing = null }))
    }
    if (!topic.task || after <= topic.task.version) return new Place(topic, after)
    // Either a hint is still under way, or the store has lost the version that the caller has seen.
    await this.#refresh([topic])
    return new Place(topic, topic.task && after > topic.task.version ? 0 : after)
  }

  #join (task_id: string): Topic {
    const known = this.#topics.get(task_id)
    if (known) return known
    const topic: Topic = { task_id, task: undefined, early: undefined, epoch: 0, opened: Promise.resolve(), refreshing: null, watchers: new Set() }
    topic.opened = this.#open(topic)
    // Every watcher awaits it. If there is none any more, its rejection must not be unhandled.
    topic.opened.catch(() => {})
    this.#topics.set(task_id, topic)
    this.#timer ??= setInterval(() => this.#tick(), this.#pollInterval).unref()
    return topic
  }

  async #open (topic: Topic): Promise<void> {
    await this.#store.subscribe(topic.task_id)
    try {
      await this.#refresh([topic])
    } catch (error) {
      this.#drop(topic)
      throw error
    }
  }

  #leave (topic: Topic, changed: () => void): void {
    topic.watchers.delete(changed)
    if (topic.watchers.size === 0 && this.#topics.get(topic.task_id) === topic) this.#drop(topic)
  }

  #drop (topic: Topic): void {
    this.#topics.delete(topic.task_id)
    this.#store.unsubscribe(topic.task_id)
    if (this.#topics.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #tick (): void {
    if (!this.#up || performance.now() - this.#checkedAt > RECHECK_INTERVAL_MS) void this.#check()
  }

  /** Reads all watched tasks page by page: ten thousand large tasks at once would delay everything else on their connection. */
  async #check (): Promise<void> {
    this.#isOutdated = true
    if (this.#isChecking) return
    this.#isChecking = true
    while (this.#isOutdated && !this.closing.aborted) {
      this.#isOutdated = false
      this.#checkedAt = performance.now()
      const topics = [...this.#topics.values()]
      try {
        for (let i = 0; i < topics.length; i += PAGE_SIZE) await this.#refresh(topics.slice(i, i + PAGE_SIZE))
      } catch (error) {
        this.#logger.debug({ err: error }, 'watched tasks could not be read, they will be read at the next poll')
        // Check again at the next tick, not only after RECHECK_INTERVAL_MS.
        this.#checkedAt = -Infinity
      }
    }
    this.#isChecking = false
  }

  async #refresh (topics: Topic[]): Promise<void> {
    const before = topics.map(topic => topic.task?.version ?? 0)
    const tasks = await this.#store.read(topics.map(topic => topic.task_id))
    topics.forEach((topic, i) => {
      const task = tasks[i] ?? null
      const known = topic.task?.version ?? 0
      const { early } = topic
      topic.early = undefined
      if (!task) {
        this.#set(topic, null)
      } else if (task.version < before[i]!) {
        // The read was sent when a higher version was known already: the store has lost writes.
        topic.epoch++
        this.#set(topic, task)
      } else if (task.version > known) {
        this.#set(topic, task)
        if (early && early.version > task.version) this.hint(topic.task_id, early)
      } else if (task.version === known) {
        topic.task = task
      }
    })
  }

  #set (topic: Topic, task: StoredTask | null): void {
    topic.task = task
    for (const changed of topic.watchers) changed()
  }
}
