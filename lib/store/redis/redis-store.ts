import type { Logger } from '../../generator.ts'
import type { StoredTask } from '../../task.ts'
import type {
  BatchOutcome, Cancelled, Checkpoint, Claim, Claimed, EndedTasks, EnqueueOutcome, HintListener, HistoryAddition, HistoryMinute, ListQuery, MessageQuery, MessageTasks,
  ProgressReport, QueueSnapshot, QueueStats, Settled, Settlement, TaskDetails, TaskDraft, TaskPage, TaskRef, TaskStore, WorkerList, WorkerRegistration
} from '../task-store.ts'
import { duplicate, isReplyError, whenReady, within, type RedisClient } from './connections.ts'
import { Enqueuer } from './enqueue.ts'
import { keyspace, type Keyspace } from './keys.ts'
import { RedisLeases } from './leases.ts'
import { addHistory, readHistory, readWorkers, registerWorkers } from './monitoring-store.ts'
import { Cleanup, listTasks, readSnapshot, readStats } from './queue-admin.ts'
import { checkAccess, checkEviction } from './readiness.ts'
import { parseHint, toTask } from './records.ts'
import { ScriptRunner } from './script-runner.ts'
import { Subscriber } from './subscriber.ts'
import { readActive, readBatch, readContent, readContents, readDetails, readEnded, readMessage, readRequest, readTasks, toTasks, type Found } from './task-reader.ts'
import { fromWord, toWord } from './words.ts'
import { WorkSignal } from './work-signal.ts'
import { WorkerRenewal } from './worker-renewal.ts'

export interface RedisStoreOptions {
  /** The host's client: duplicated, never used itself. */
  readonly redis: RedisClient
  /** Start of every key and channel. */
  readonly keyPrefix: string
  readonly logger?: Logger | undefined
  /** The time in ms, for tests; by default Redis' own clock. */
  readonly now?: (() => number) | undefined
  /** The monotonic clock of this process in ms, for tests; by default `now` where that is given, so that the two never part. */
  readonly monotonic?: (() => number) | undefined
}

/** ms that one snapshot serves all callers. */
const MAX_SNAPSHOT_AGE_MS = 500

/** Tasks on Redis, Valkey, Sentinel or Cluster. Every change is one Lua script, which also announces it. */
export class RedisStore implements TaskStore {
  readonly #host: RedisClient
  readonly #client: RedisClient
  readonly #keys: Keyspace
  readonly #logger: Logger | undefined
  readonly #now: (() => number) | undefined
  readonly #runner: ScriptRunner
  readonly #enqueuer: Enqueuer
  readonly #leases: RedisLeases
  readonly #cleanup: Cleanup
  readonly #workSignal: WorkSignal
  readonly #renewal = new WorkerRenewal((...args) => registerWorkers(this.#runner, ...args))
  #subscriber: Subscriber | null = null
  #snapshot: { readonly at: number, readonly answer: Promise<QueueSnapshot> } | null = null

  constructor ({ redis, keyPrefix, logger, now, monotonic }: RedisStoreOptions) {
    this.#host = redis
    this.#keys = keyspace(keyPrefix)
    this.#logger = logger
    this.#now = now
    this.#client = duplicate(redis, 'commands')
    this.#runner = new ScriptRunner({ client: this.#client, keys: this.#keys, logger, now, monotonic })
    this.#enqueuer = new Enqueuer(this.#runner)
    this.#leases = new RedisLeases(this.#runner, logger)
    this.#cleanup = new Cleanup(this.#runner, logger)
    this.#workSignal = new WorkSignal(redis, this.#keys)
  }

  enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    return this.#enqueuer.one(draft)
  }

  enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#enqueuer.batch(batch_id, drafts)
  }

  async cancel (task_id: string): Promise<Cancelled | null> {
    const [record, ended, deferred] = await this.#runner.run<[Found, Found[], number]>('cancel', [task_id])
    const task = record && toTask(record)
    return task && { task, ended: toTasks(ended), ...(deferred === 1 ? { deferred: true } : {}) }
  }

  async cancelAll (task_ids: readonly string[]): Promise<StoredTask[]> {
    return toTasks(await this.#runner.run<Found[]>('cancelAll', task_ids))
  }

  claim (claim: Claim): Promise<Claimed> {
    return this.#leases.claim(claim)
  }

  settleAttempts (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    return this.#leases.settle(settlements, claim)
  }

  progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return this.#leases.progress(reports)
  }

  checkpoint (checkpoint: Checkpoint): Promise<'ok' | 'stale' | 'too_large'> {
    return this.#leases.checkpoint(checkpoint)
  }

  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return this.#leases.extend(leases, leaseDuration)
  }

  waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    return this.#workSignal.wait(timeout, signal)
  }

  read (task_ids: readonly string[], bytes?: number): Promise<Array<StoredTask | null>> {
    return readTasks(this.#runner, task_ids, bytes)
  }

  inspect (task_id: string): Promise<TaskDetails<StoredTask> | null> {
    return readDetails(this.#runner, task_id)
  }

  readRequest (task_id: string): Promise<string | null> {
    return readRequest(this.#runner, task_id)
  }

  readContent (chart_id: string): Promise<string | null> {
    return readContent(this.#client, this.#keys, chart_id)
  }

  readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
    return readContents(this.#runner, chart_ids, bytes)
  }

  readMessage (query: MessageQuery & { readonly org_id: string | null }): Promise<MessageTasks> {
    return readMessage(this.#runner, query)
  }

  readActive (query: MessageQuery): Promise<TaskRef[]> {
    return readActive(this.#runner, query)
  }

  readEnded (query: MessageQuery & { readonly since: number }): Promise<EndedTasks> {
    return readEnded(this.#runner, query)
  }

  readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null> {
    return readBatch(this.#runner, batch_id)
  }

  list (query: ListQuery): Promise<TaskPage<StoredTask>> {
    return listTasks(this.#runner, query)
  }

  async setPaused (paused: boolean): Promise<void> {
    await this.#runner.run('pause', [paused ? 1 : 0])
  }

  cleanup (): Promise<number> {
    return this.#cleanup.run()
  }

  stats (): Promise<QueueStats> {
    return readStats(this.#runner)
  }

  /** A snapshot takes hundreds of commands, and many callers ask at once. */
  snapshot (): Promise<QueueSnapshot> {
    const isFresh = this.#snapshot && !this.#now && performance.now() - this.#snapshot.at < MAX_SNAPSHOT_AGE_MS
    if (isFresh) return this.#snapshot!.answer
    const answer = readSnapshot(this.#runner)
    this.#snapshot = { at: performance.now(), answer }
    answer.catch(() => { this.#snapshot = null })
    return answer
  }

  registerWorker (worker: WorkerRegistration): Promise<void> {
    return this.#renewal.add(worker)
  }

  async removeWorker (worker_id: string): Promise<void> {
    this.#renewal.remove(worker_id)
    await this.#runner.run('unregister', [toWord(worker_id)])
  }

  readWorkers (limit: number): Promise<WorkerList> {
    return readWorkers(this.#runner, limit)
  }

  addHistory (addition: HistoryAddition): Promise<void> {
    return addHistory(this.#runner, addition)
  }

  readHistory (minutes: number, { latest }: { readonly latest: boolean }): Promise<{ now: number, minutes: HistoryMinute[] }> {
    return readHistory(this.#runner, minutes, latest)
  }

  listen (listener: HintListener): () => void {
    const updates = this.#keys.updates('')
    const messages = `${this.#keys.prefix}message:`
    const subscriber = new Subscriber(this.#host, channel => this.#ping(channel), this.#keys, (channel, message) => {
      if (channel === this.#keys.cancelled) listener.cancelled(message)
      else if (channel.startsWith(messages)) listener.added(channel.slice(messages.length, messages.length + 36), fromWord(channel.slice(messages.length + 37)))
      else if (channel.startsWith(updates)) {
        const state = parseHint(message)
        if (state) listener.hint(channel.slice(updates.length), state)
      }
    }, up => listener.feed(up))
    this.#subscriber = subscriber
    return () => subscriber.close()
  }

  subscribe (task_id: string): Promise<boolean> {
    return this.#subscriber!.subscribe(this.#keys.updates(task_id))
  }

  unsubscribe (task_id: string): void {
    this.#subscriber?.unsubscribe(this.#keys.updates(task_id))
  }

  subscribeMessage (message_id: string, user_id: string): Promise<boolean> {
    return this.#subscriber!.subscribe(this.#keys.message(message_id, user_id))
  }

  unsubscribeMessage (message_id: string, user_id: string): void {
    this.#subscriber?.unsubscribe(this.#keys.message(message_id, user_id))
  }

  async checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }> {
    const isDone = (answer: Promise<unknown>) => answer.then(() => true, () => false)
    // The write comes second: if a replica refuses it, the connection ends, and a new one finds the master.
    const [store, writable] = await Promise.all([isDone(within(this.#client, () => this.#client.ping())), isDone(this.#runner.run('probe', []))])
    return { store, feed: this.#subscriber?.up ?? false, writable }
  }

  async ready (timeout: number): Promise<void> {
    await Promise.all([whenReady(this.#client, timeout), this.#subscriber?.ready(timeout)])
    const checked = { host: this.#host, client: this.#client, keys: this.#keys, runner: this.#runner, logger: this.#logger }
    await Promise.all([checkAccess(checked), checkEviction(checked)])
  }

  async close (): Promise<void> {
    this.#renewal.close()
    this.#subscriber?.close()
    this.#workSignal.close()
    this.#client.disconnect()
  }

  /** Publishes to this process itself. If it has workers, the same command renews their registration. */
  async #ping (channel: string): Promise<void> {
    if (!this.#renewal.isEmpty) {
      try {
        return await this.#renewal.renew(channel)
      } catch (error) {
        // Redis refused the registration, which says nothing about whether messages arrive.
        if (!isReplyError(error)) throw error
      }
    }
    await within(this.#client, () => this.#client.publish(channel, ''))
  }
}
