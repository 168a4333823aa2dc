import { setMaxListeners } from 'node:events'
import type { Logger } from '../generator.ts'
import type { HintListener, HintSource, TaskReader, TaskState } from '../store/task-store.ts'
import { ChartStatus, isFinished, shownCancelled, type StoredTask } from '../task.ts'

/** ms after which every watched task is read again even though hints arrive: a hint may be lost without anybody noticing. */
const RECHECK = 15_000
/** Tasks read in one round trip. */
const PAGE = 200

interface Topic {
  readonly task_id: string
  /** The newest state known here; null once the task has vanished, undefined before the first read. */
  task: StoredTask | null | undefined
  /** A hint that came before the first read. */
  early: TaskState | undefined
  /** Grows when the store has lost acknowledged writes: versions start afresh. */
  epoch: number
  opened: Promise<void>
  /** A read under way for those who ask where it stands. */
  placing: Promise<void> | null
  readonly wake: Set<() => void>
}

export interface TaskFeedOptions {
  readonly store: HintSource & TaskReader
  /** ms between reads while hints do not arrive. */
  readonly pollInterval: number
  readonly logger: Logger
}

/**
 * Watches tasks for everyone in this process. Hints are only hints: a watch subscribes first, reads second, and drops
 * what is not newer; while hints do not arrive, tasks are polled. A watcher that is slow skips states, but never the last.
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
  #timer: NodeJS.Timeout | undefined
  #up = false
  #checked = 0
  #checking = false
  /** Asked for another check while one was under way. */
  #outdated = false

  constructor (options: TaskFeedOptions) {
    this.#store = options.store
    this.#pollInterval = options.pollInterval
    this.#logger = options.logger
    this.#unlisten = this.#store.listen(this)
    // Every stream of many listens: that they are many is no leak.
    setMaxListeners(0, this.closing)
  }

  /** Aborted when the feed closes. */
  get closing (): AbortSignal {
    return this.#closing.signal
  }

  /**
   * The task's states as they come, each newer than the one before; ends after the finished one, or when the task vanishes.
   * `after`: a version that the caller has already seen. Throws `CHARTS_ERR_STORE_UNAVAILABLE` if the first read fails.
   */
  async * watch (task_id: string, options: { after?: number | undefined, signal?: AbortSignal | undefined } = {}): AsyncGenerator<StoredTask, void, void> {
    const { signal } = options
    const over = () => this.closing.aborted || signal?.aborted === true
    const wasOpen = this.#topics.has(task_id)
    const topic = this.#join(task_id)
    let notify: () => void = () => {}
    const wake = () => notify()
    topic.wake.add(wake)
    signal?.addEventListener('abort', wake)
    try {
      await topic.opened
      // A place in the queue is as old as the last read.
      if (wasOpen && topic.task?.status === ChartStatus.PENDING) {
        await (topic.placing ??= this.#refresh([topic]).finally(() => { topic.placing = null }))
      }
      let seen = options.after ?? 0
      if (topic.task && seen > topic.task.version) {
        // Either a hint is still under way, or the store has lost what the caller has seen.
        await this.#refresh([topic])
        if (topic.task && seen > topic.task.version) seen = 0
      }
      let epoch = topic.epoch
      while (!over()) {
        const task = topic.task
        if (!task) return
        if (topic.epoch !== epoch) {
          epoch = topic.epoch
          seen = 0
        }
        if (task.version > seen) {
          seen = task.version
          yield task
        }
        if (isFinished(task)) return
        if (topic.task === task && !over()) await new Promise<void>(resolve => { notify = resolve })
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      this.#leave(topic, wake)
    }
  }

  /** Calls `more` when a user's tasks of a message may have become more. Returns what ends that. */
  async onMore (message_id: string, user_id: string, more: () => void): Promise<() => void> {
    const key = `${message_id}:${user_id}`
    const known = this.#messages.get(key)
    if (known) known.add(more)
    else this.#messages.set(key, new Set([more]))
    // While hints do not arrive, it may have at any time.
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

  /** Calls `listener` when a running task was cancelled anywhere. Returns what ends that. */
  onCancelled (listener: (task_id: string) => void): () => void {
    this.#cancelListeners.add(listener)
    return () => this.#cancelListeners.delete(listener)
  }

  /** Calls `listener` with whether hints arrive, now and whenever that changes. Returns what ends that. */
  onFeed (listener: (up: boolean) => void): () => void {
    this.#feedListeners.add(listener)
    listener(this.#up)
    return () => this.#feedListeners.delete(listener)
  }

  hint (task_id: string, state: TaskState): void {
    const topic = this.#topics.get(task_id)
    if (!topic) return
    if (topic.task === undefined) {
      if (!topic.early || state.version > topic.early.version) topic.early = state
    } else if (topic.task && state.version > topic.task.version && state.status !== ChartStatus.PENDING) {
      this.#set(topic, shownCancelled({ ...topic.task, ...state }))
    } else {
      // Of a task that waits again, a hint does not say where it stands; of what is not newer, it says that something is wrong.
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
    this.#closing.abort()
    for (const topic of this.#topics.values()) for (const wake of topic.wake) wake()
    this.#unlisten()
    clearInterval(this.#timer)
  }

  #join (task_id: string): Topic {
    const known = this.#topics.get(task_id)
    if (known) return known
    const topic: Topic = { task_id, task: undefined, early: undefined, epoch: 0, opened: Promise.resolve(), placing: null, wake: new Set() }
    topic.opened = this.#open(topic)
    // Whoever watches awaits it too; without watchers nobody would.
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

  #leave (topic: Topic, wake: () => void): void {
    topic.wake.delete(wake)
    if (topic.wake.size === 0 && this.#topics.get(topic.task_id) === topic) this.#drop(topic)
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
    if (!this.#up || performance.now() - this.#checked > RECHECK) void this.#check()
  }

  /** Reads all that is watched, page by page: ten thousand large tasks at once would hold up everything else on their connection. */
  async #check (): Promise<void> {
    this.#outdated = true
    if (this.#checking) return
    this.#checking = true
    while (this.#outdated && !this.closing.aborted) {
      this.#outdated = false
      this.#checked = performance.now()
      const topics = [...this.#topics.values()]
      try {
        for (let i = 0; i < topics.length; i += PAGE) await this.#refresh(topics.slice(i, i + PAGE))
      } catch (error) {
        this.#logger.debug({ err: error }, 'watched tasks could not be read')
        // At the next tick, and not a recheck later.
        this.#checked = -Infinity
      }
    }
    this.#checking = false
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
        // The read was sent after the newer version was known: the store went back in time.
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
    for (const wake of topic.wake) wake()
  }
}
