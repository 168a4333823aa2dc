import { setTimeout as delay } from 'node:timers/promises'
import { errors } from '../../errors.ts'
import type { Logger } from '../../generator.ts'
import type { ChartTask } from '../../task.ts'
import type {
  BatchOutcome, Cancelled, Checkpoint, ListQuery, MessageQuery, Settled, Settlement, EndedTasks, EnqueuedTask, EnqueueOutcome, HintListener, HistoryAddition, HistoryMinute, MessageTasks, QueueSnapshot, ProgressReport, QueueStats,
  Claim, Claimed, TaskDetails, TaskDraft, TaskPage, TaskRef, TaskStore, WorkerList, WorkerRegistration
} from '../task-store.ts'
import { readCursor, toCursor, type ListPosition } from '../list-cursor.ts'
import { newTask } from '../new-task.ts'
import { accessArguments, missingRules } from './access.ts'
import { ClockWatch } from './clock.ts'
import { duplicate, isReplyError, userOf, whenReady, within, type RedisClient } from './connections.ts'
import { countFitting, Gatherer } from './gatherer.ts'
import { keyspace, type Keyspace } from './keys.ts'
import { additionArguments, toMinutes, toWorkers, type RawAttempt } from './monitoring.ts'
import { scripts } from './scripts.ts'
import { fromWord, parseHint, requestOf, toClaimedTask, toDetails, toRare, toSteps, toTask, toWord, toWords, withState, type RawClaimedTask, type RawTask } from './records.ts'
import { Subscriber } from './subscriber.ts'
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

/** ms that an answer about the outlook is good for. */
const MAX_SNAPSHOT_AGE_MS = 500
/** Tasks and bytes that one script reads at most: Redis serves nobody else meanwhile. */
const SLICE = { tasks: 100, bytes: 2 ** 18 }

/** ms after which a worker whose claim was refused, because Redis is full, looks whether there is room again. */
const FULL_RETRY_MS = 1_000
/** Leases that one script ends, and bytes of their charts at most: Redis serves nobody else meanwhile. */
const MAX_CLOSED = { items: 100, bytes: 2 ** 22 }

/** Parts of the search for what was lost that one clean-up does: usually, and where counts show that something is. */
const MEND_PARTS = { usual: 40, most: 2_000 }

/** Parts of the running attempts that are looked at, each of 500. */
const MAX_WORKER_PARTS = 24
/** Hours of the history that one script reads: Redis serves nobody else meanwhile. */
const MAX_HOURS = { counts: 6, latest: 2 }

type Argument = string | number
type Found = RawTask | null
type RawRef = [task_id: string, created: string, completed: string | null]

const tasks = (found: Found[]): ChartTask[] => found.map(one => one && toTask(one)).filter(task => task !== null)
const toRefs = (refs: readonly RawRef[]): TaskRef[] =>
  refs.map(([task_id, created, completed]) => ({ task_id, created_at: Number(created), completed_at: completed === null ? null : Number(completed) }))
type UncheckedChart = [task_id: string, chart_id: string]
type DraftAnswer = [outcome: EnqueuedTask['outcome'], record: Found | string, now?: string, step?: string, at?: string, position?: number | null, deps?: string]
/** What `enqueue.lua` calls the outcomes; two have other names in the port. */
type RawOutcome = Exclude<BatchOutcome['outcome'], 'chart_check_required' | 'too_many_batches'> | 'charts_unasked' | 'task_crowded'
type EnqueueAnswer = [RawOutcome, DraftAnswer[] | UncheckedChart[] | string | number, Found[]?, (string | null)?, number?]
type RawExpired = [task_id: string, attempt: number, worker_id: string]
type RawClaimed = [claimed: RawClaimedTask[], lost: RawTask[], due: number, now: string, deferred: number, expired: RawExpired[]]
const toClaimed = ([claimed, lost, due, , deferred, expired]: RawClaimed): Claimed => ({
  tasks: claimed.map(toClaimedTask).filter(task => task !== null),
  lost: tasks(lost),
  due: due < 0 ? null : due,
  expired: expired.map(([task_id, attempt, worker_id]) => ({ task_id, attempt, worker_id: fromWord(worker_id) })),
  ...(deferred === 1 ? { deferred: true } : {})
})
const claimArguments = (claim: Claim | null): Argument[] =>
  claim ? [toWord(claim.worker_id), toWord(claim.claim_id), claim.count, claim.leaseDuration, claim.runningPerTenant, claim.beside, claim.lane ?? 0] : ['', '', 0, 0, 0, 0, 0]

function enqueueArguments (drafts: readonly TaskDraft[], batch_id: string): Argument[] {
  const { user_id, tenant, idempotency, waitingPerTenant, scheduledPerTenant, queueLength, queueTimeout, weight, stores_content } = drafts[0]!
  return [
    toWord(user_id), toWord(tenant), [waitingPerTenant, queueLength, scheduledPerTenant, stores_content ? 1 : 0, queueTimeout, weight].join(' '),
    idempotency ? `${idempotency.key} ${idempotency.body}` : '', batch_id, drafts.length,
    ...drafts.flatMap(draft => [draft.task_id, toWords(draft), draft.dedup_key, draft.request, toRare(draft)])
  ]
}

type PlainAnswer = ['plain', now: string, ...positions: number[]]

/** `sizes`: how many tasks each request has. */
function toAnswers (raw: EnqueueAnswer[] | PlainAnswer, sizes: readonly number[]): EnqueueAnswer[] {
  if (raw[0] !== 'plain') return raw as EnqueueAnswer[]
  const [, now, ...positions] = raw as PlainAnswer
  return sizes.map(size => ['accepted', positions.splice(0, size).map(position => ['queued', null, now, 'queued', now, position])])
}

function settlementArguments (settlement: Settlement): Argument[] {
  const { task_id, lease, verb } = settlement
  switch (verb) {
    case 'complete': return [task_id, lease, verb, settlement.chart_id, settlement.content ?? '', settlement.claimed ? 1 : '', '']
    case 'fail': return [task_id, lease, verb, settlement.code, settlement.message ?? '', settlement.delay ?? '', Math.random()]
    case 'release': return [task_id, lease, verb, '', '', '', '']
  }
}

/** `ended`: the task or, where the caller has it as it was claimed, the state in which it ended. */
const toFinished = (settlement: Settlement, ended: RawTask | string): ChartTask | null =>
  typeof ended !== 'string' ? toTask(ended) : settlement.verb === 'complete' && settlement.claimed ? withState(settlement.claimed, ended) : null

const sizeOf = (settlement: Settlement) => ({ bytes: settlement.verb === 'complete' ? Buffer.byteLength(settlement.content ?? '') : 0 })

/** Tasks on Redis, Valkey, Sentinel or Cluster. Every change is one Lua script, which also announces it. */
export class RedisStore implements TaskStore {
  readonly #host: RedisClient
  readonly #commands: RedisClient
  readonly #keys: Keyspace
  readonly #logger: Logger | undefined
  readonly #now: (() => number) | undefined
  readonly #clock: ClockWatch
  readonly #creates: Gatherer<TaskDraft, EnqueueAnswer>
  /** Where the search for what was lost goes on. */
  #mendCursor = ''
  readonly #workers = new WorkerRenewal((...args) => this.#registerAll(...args))
  #blocking: RedisClient | null = null
  #subscriber: Subscriber | null = null
  #snapshot: { readonly at: number, readonly answer: Promise<QueueSnapshot> } | null = null

  constructor (options: RedisStoreOptions) {
    this.#host = options.redis
    this.#keys = keyspace(options.keyPrefix)
    this.#logger = options.logger
    this.#now = options.now
    this.#clock = new ClockWatch(options.monotonic ?? options.now ?? (() => performance.now()), jump => this.#warnOfJump(jump))
    this.#commands = duplicate(options.redis, 'commands')
    this.#creates = new Gatherer(drafts => this.#enqueue(drafts.map(draft => [draft]), ''))
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    // What may end many others, or needs many, has a call of its own.
    const isPlain = !draft.supersede && draft.depends_on.length === 0
    const answer = isPlain ? await this.#creates.add(draft, Buffer.byteLength(draft.request)) : await this.#enqueueAlone([draft], '')
    const result = await this.#toOutcome([draft], '', answer)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, deferred } = result
    // It was lost between the decision and the answer.
    if (!enqueued) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    return { ...enqueued, superseded, ...(deferred ? { deferred } : {}) }
  }

  async enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#toOutcome(drafts, batch_id, await this.#enqueueAlone(drafts, batch_id))
  }

  async claim (claim: Claim): Promise<Claimed> {
    return this.#claimed(await this.#runOnTime<RawClaimed>('dequeue', claimArguments(claim), claim.leaseDuration, ([,,, now]) => now), claim)
  }

  async settleAttempts (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    // What many ends at once would take too long, and each is for itself: all parts but the last take nothing.
    const count = countFitting(settlements.map(sizeOf), MAX_CLOSED)
    if (count < settlements.length) {
      const first = await this.settleAttempts(settlements.slice(0, count), null)
      const rest = await this.settleAttempts(settlements.slice(count), claim)
      return { settled: [...first.settled, ...rest.settled], claimed: { ...rest.claimed, lost: [...first.claimed.lost, ...rest.claimed.lost] } }
    }
    if (!claim || claim.count === 0) return this.#close('close', settlements, claim)
    try {
      return await this.#close('settleAndClaim', settlements, claim)
    } catch (error) {
      // Refused as a whole, before anything was done. What ends is stored all the same; what this very take was given before is given again.
      if (!isReplyError(error, 'OOM')) throw error
      const { settled, claimed } = await this.#close('close', settlements, { ...claim, count: 0 })
      return { settled, claimed: { ...claimed, due: Math.min(claimed.due ?? Infinity, FULL_RETRY_MS) } }
    }
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    const current = await this.#run<number[]>('progress', reports.flatMap(report => {
      const steps = Object.entries(report.step_progress)
      return [report.task_id, report.lease, report.progress ?? '', report.step ?? '', steps.length, ...steps.flat()]
    }))
    return current.map(Boolean)
  }

  checkpoint ({ task_id, lease, name, value, maxBytes }: Checkpoint): Promise<'ok' | 'stale' | 'too_large'> {
    return this.#run('checkpoint', [task_id, lease, name, value, maxBytes])
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    const args = [leaseDuration, ...leases.flatMap(({ task_id, lease }) => [task_id, lease])]
    const [answers] = await this.#runOnTime<[Array<'ok' | 'cancelled' | 'stale'>, now: string]>('extend', args, leaseDuration, ([, now]) => now)
    return answers
  }

  async cancel (task_id: string): Promise<Cancelled | null> {
    const [record, ended, deferred] = await this.#run<[Found, Found[], number]>('cancel', [task_id])
    const task = record && toTask(record)
    return task && { task, ended: tasks(ended), ...(deferred === 1 ? { deferred: true } : {}) }
  }

  async cancelAll (task_ids: readonly string[]): Promise<ChartTask[]> {
    return tasks(await this.#run<Found[]>('cancelAll', task_ids))
  }

  async read (task_ids: readonly string[], bytes?: number): Promise<Array<ChartTask | null>> {
    const records = await this.#run<Found[]>('read', [Math.min(bytes ?? SLICE.bytes, SLICE.bytes), ...task_ids.slice(0, SLICE.tasks)])
    const found = records.map(record => record && toTask(record))
    const isWhole = bytes !== undefined || found.length === task_ids.length
    return isWhole ? found : [...found, ...await this.read(task_ids.slice(found.length))]
  }

  async readRequest (task_id: string): Promise<string | null> {
    const [record] = await this.#run<Found[]>('read', [0, task_id])
    return record ? requestOf(record) : null
  }

  async readContent (chart_id: string): Promise<string | null> {
    try {
      return await within(this.#commands, () => this.#commands.get(this.#keys.chart(chart_id)))
    } catch (error) {
      // Somebody else has written there: the chart is lost, and the store is not.
      if (isReplyError(error, 'WRONGTYPE')) return null
      throw error
    }
  }

  async readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
    return chart_ids.length === 0 ? [] : this.#run('contents', [bytes, ...chart_ids])
  }

  async readMessage ({ message_id, user_id, org_id, limit }: MessageQuery & { readonly org_id: string | null }): Promise<MessageTasks> {
    const [active, completed, failed, others, now] = await this.#run<[RawRef[], RawRef[], RawRef[], RawRef[], string]>(
      'message', [message_id, toWord(user_id), org_id === null ? '' : toWord(org_id), limit])
    return {
      active: toRefs(active),
      completed: [...toRefs(completed), ...toRefs(others)].sort((a, b) => b.completed_at! - a.completed_at!).slice(0, limit),
      failed: toRefs(failed),
      read_at: Number(now)
    }
  }

  async readActive ({ message_id, user_id, limit }: MessageQuery): Promise<TaskRef[]> {
    const [active] = await this.#run<[RawRef[]]>('message', [message_id, toWord(user_id), '', limit, 1])
    return toRefs(active)
  }

  async readEnded ({ message_id, user_id, since, limit }: MessageQuery & { readonly since: number }): Promise<EndedTasks> {
    const [refs, now] = await this.#run<[RawRef[], string]>('ended', [message_id, toWord(user_id), since, limit])
    return { tasks: toRefs(refs), read_at: Number(now) }
  }

  async readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null> {
    const [user_id, refs] = await this.#run<[string | null, RawRef[]?]>('batch', [batch_id])
    return user_id === null ? null : { user_id: fromWord(user_id), tasks: toRefs(refs ?? []) }
  }

  async stats (): Promise<QueueStats> {
    const [queue_length, processing_count, delayed_count, oldest, now, paused] =
      await this.#run<[number, number, number, string | null, string, number]>('stats', [])
    return {
      queue_length,
      processing_count,
      delayed_count,
      oldest_waiting_at: oldest && new Date(Number(oldest)).toISOString(),
      paused: paused === 1,
      updated_at: new Date(Number(now)).toISOString()
    }
  }

  /** Many ask at once, and it takes hundreds of commands: one answer serves all that come within a moment. */
  snapshot (): Promise<QueueSnapshot> {
    const fresh = this.#snapshot && !this.#now && performance.now() - this.#snapshot.at < MAX_SNAPSHOT_AGE_MS
    if (fresh) return this.#snapshot!.answer
    const answer = this.#readSnapshot()
    this.#snapshot = { at: performance.now(), answer }
    answer.catch(() => { this.#snapshot = null })
    return answer
  }

  async list ({ filter, limit, cursor }: ListQuery): Promise<TaskPage> {
    const { index, score, task_id } = cursor === null ? { index: '', score: '', task_id: '' } : readCursor(cursor)
    const [records, reached] = await this.#run<[Found[], [index: ListPosition['index'], score: string, task_id: string] | null]>('list', [
      filter.status ?? '', toWord(filter.user_id ?? ''), toWord(filter.tenant ?? ''), limit, index, score, task_id,
      filter.error_code ?? '', filter.created_after ?? '', filter.created_before ?? '', filter.unfinished ? 1 : 0
    ])
    return { tasks: tasks(records), cursor: reached && toCursor({ index: reached[0], score: reached[1], task_id: reached[2] }) }
  }

  async inspect (task_id: string): Promise<TaskDetails | null> {
    const [found, history] = await this.#run<[Found, string[]?]>('inspect', [task_id])
    return found && toDetails(found, history ?? [])
  }

  async setPaused (paused: boolean): Promise<void> {
    await this.#run('pause', [paused ? 1 : 0])
  }

  async cleanup (): Promise<number> {
    const page = 100
    let removed = 0
    let last
    do {
      last = await this.#run<number>('cleanup', [page])
      removed += last
    } while (last === page)
    await this.#mend()
    return removed
  }

  /** Looks for what was lost of indexes and counts, from where it stopped the last time: a few parts, or many where much is wrong. */
  async #mend (): Promise<void> {
    let mended = 0
    for (let parts = 0, most = MEND_PARTS.usual; parts < most; parts++) {
      const [cursor, more, wrong] = await this.#run<[cursor: string, mended: number, wrong: number]>('mend', [this.#mendCursor])
      this.#mendCursor = cursor
      mended += more
      if (wrong === 1) most = MEND_PARTS.most
      if (cursor === '') break
    }
    if (mended > 0) this.#logger?.warn({ mended }, 'Redis had lost entries of indexes or counts, or they were unreadable: they have been rebuilt')
  }

  registerWorker (worker: WorkerRegistration): Promise<void> {
    return this.#workers.add(worker)
  }

  async removeWorker (worker_id: string): Promise<void> {
    this.#workers.remove(worker_id)
    await this.#run('unregister', [toWord(worker_id)])
  }

  async readWorkers (limit: number): Promise<WorkerList> {
    type Part = [now: string, workers: string[], more: number, running: RawAttempt[], next: number]
    const read = (most: number, from: number) => this.#run<Part>('workers', [most, from])
    const [now, workers, more, running, second] = await read(limit, 0)
    let next = second
    for (let parts = 1; next >= 0 && parts < MAX_WORKER_PARTS; parts++) {
      const part = await read(0, next)
      running.push(...part[3])
      next = part[4]
    }
    return { workers: toWorkers(workers, running), complete: more === 0 && next < 0, updated_at: new Date(Number(now)).toISOString() }
  }

  async addHistory (addition: HistoryAddition): Promise<void> {
    await this.#run('historyAdd', additionArguments(addition))
  }

  async readHistory (minutes: number, { latest }: { readonly latest: boolean }): Promise<{ now: number, minutes: HistoryMinute[] }> {
    const counts: string[] = []
    const failures: string[] = []
    let now = 0
    // One more: the first minute of the range is mostly within an hour.
    const hours = Math.ceil(minutes / 60) + 1
    const part = latest ? MAX_HOURS.latest : MAX_HOURS.counts
    for (let first = 0; first < hours; first += part) {
      const args = [first, Math.min(part, hours - first), latest ? 1 : 0]
      const [time, counted, failed] = await this.#run<[now: string, counts: string[], latest: string[]]>('history', args)
      now ||= Number(time)
      counts.push(...counted)
      failures.push(...failed)
    }
    return { now, minutes: toMinutes(counts, failures, now, minutes) }
  }

  async waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const client = this.#blocking ??= duplicate(this.#host, 'blocking')
    const overdue = 2_000
    const giveUp = () => {
      client.disconnect(!signal.aborted)
      // Whoever waits next does so on a connection of its own.
      if (signal.aborted && this.#blocking === client) this.#blocking = null
    }
    const watchdog = setTimeout(giveUp, timeout + overdue)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      await whenReady(client, timeout)
      await client.blpop(this.#keys.wake, Math.max(0.01, timeout / 1000))
    } catch {
      // The connection went away: whoever waits looks for work itself, and finds out there whether the store is back.
      await delay(Math.min(timeout, 200), undefined, { signal }).catch(() => {})
    } finally {
      clearTimeout(watchdog)
      signal.removeEventListener('abort', giveUp)
    }
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
    return this.#subscriber?.subscribe(this.#keys.updates(task_id)) ?? Promise.resolve(false)
  }

  unsubscribe (task_id: string): void {
    this.#subscriber?.unsubscribe(this.#keys.updates(task_id))
  }

  subscribeMessage (message_id: string, user_id: string): Promise<boolean> {
    return this.#subscriber?.subscribe(this.#keys.message(message_id, user_id)) ?? Promise.resolve(false)
  }

  unsubscribeMessage (message_id: string, user_id: string): void {
    this.#subscriber?.unsubscribe(this.#keys.message(message_id, user_id))
  }

  async checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }> {
    const isDone = (answer: Promise<unknown>) => answer.then(() => true, () => false)
    // Sent second: what a replica refuses ends the connection, so that a new one finds the master.
    const [store, writable] = await Promise.all([isDone(within(this.#commands, () => this.#commands.ping())), isDone(this.#run('probe', []))])
    return { store, feed: this.#subscriber?.up ?? false, writable }
  }

  async ready (timeout: number): Promise<void> {
    await Promise.all([whenReady(this.#commands, timeout), this.#subscriber?.ready(timeout)])
    await Promise.all([this.#checkAccess(), this.#checkEviction()])
  }

  async close (): Promise<void> {
    this.#workers.close()
    this.#subscriber?.close()
    this.#blocking?.disconnect()
    this.#commands.disconnect()
  }

  /** Publishes to this process itself. If it has workers, the same command renews their registration. */
  async #ping (channel: string): Promise<void> {
    if (!this.#workers.isEmpty) {
      try {
        return await this.#workers.renew(channel)
      } catch (error) {
        // Redis refused the registration, which says nothing about whether messages arrive.
        if (!isReplyError(error)) throw error
      }
    }
    await within(this.#commands, () => this.#commands.publish(channel, ''))
  }

  async #registerAll (expires: number, indexExpires: number, channel: string, workers: readonly WorkerRegistration[]): Promise<void> {
    await this.#run('register', [expires, indexExpires, channel, ...workers.flatMap(worker => [toWord(worker.worker_id), JSON.stringify(worker)])])
  }

  async #close (script: 'close' | 'settleAndClaim', settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    const args = [...claimArguments(claim), ...settlements.flatMap(settlementArguments)]
    const [settled, claimed] = await this.#runOnTime<[Array<[string, (Found | string)?]>, RawClaimed]>(script, args, claim?.leaseDuration ?? 0, ([, [,,, now]]) => now)
    return {
      settled: settled.map(([answer, ended], i) => ({ current: answer === 'ok', finished: ended ? toFinished(settlements[i]!, ended) : null })),
      claimed: claim ? await this.#claimed(claimed, claim) : toClaimed(claimed)
    }
  }

  /** What was claimed. A task with a request that is no JSON is ended by itself: no attempt of it begins. */
  async #claimed (raw: RawClaimed, { claim_id }: Claim): Promise<Claimed> {
    const claimed = toClaimed(raw)
    const [records] = raw
    if (claimed.tasks.length === records.length) return claimed
    const unreadable = records.filter(one => toClaimedTask(one) === null).map(([record]) => record)
    try {
      return { ...claimed, lost: [...claimed.lost, ...tasks(await this.#run<Found[]>('lose', [toWord(claim_id), ...unreadable]))] }
    } catch (error) {
      // Their leases end by themselves.
      this.#logger?.warn({ err: error }, 'tasks with unreadable requests could not be ended, they are claimed again')
      return claimed
    }
  }

  /** A Redis user that may not do all that is needed fails at any time later, and half-way: better told now. */
  async #checkAccess (): Promise<void> {
    const { prefix } = this.#keys
    let missing
    try {
      missing = missingRules(prefix, await this.#send<string[]>('access', [], accessArguments(prefix)))
    } catch (error) {
      if (!isReplyError(error, 'NOPERM')) throw error
      missing = ['+evalsha', '+eval']
    }
    if (missing.length === 0) return
    const grant = `ACL SETUSER ${userOf(this.#host)} ${missing.join(' ')}`
    this.#logger?.warn({ missing, grant }, `the Redis user lacks permissions that the queue needs, charts will fail: ${grant}`)
  }

  async #checkEviction (): Promise<void> {
    let memory
    try {
      memory = await within(this.#commands, () => this.#commands.info('memory'))
    } catch (error) {
      // That it may not is told with all else that the user may not.
      if (isReplyError(error, 'NOPERM')) return
      throw error
    }
    const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1]
    if (policy && policy !== 'noeviction') {
      this.#logger?.warn({ policy }, 'Redis may evict tasks: set maxmemory-policy to noeviction')
    }
  }

  async #readSnapshot (): Promise<QueueSnapshot> {
    const [now, paused, since, processing_count, running, completed] =
      await this.#run<[string, number, string | null, number, Array<[step: string, at: string]>, Array<[trace: string, at: string]>]>('outlook', [])
    return {
      now: Number(now),
      paused: paused === 1,
      waiting_since: since === null ? null : Number(since),
      processing_count,
      running: running.map(([step, at]) => ({ step: fromWord(step), at: Number(at) })),
      completed: completed.map(([trace, at]) => ({ steps: toSteps(trace), at: Number(at) }))
    }
  }

  async #enqueueAlone (drafts: readonly TaskDraft[], batch_id: string): Promise<EnqueueAnswer> {
    const [answer] = await this.#enqueue([drafts], batch_id)
    return answer!
  }

  async #enqueue (requests: ReadonlyArray<readonly TaskDraft[]>, batch_id: string): Promise<EnqueueAnswer[]> {
    const raw = await this.#run<EnqueueAnswer[] | PlainAnswer>('enqueue', requests.flatMap(drafts => enqueueArguments(drafts, batch_id)))
    return toAnswers(raw, requests.map(({ length }) => length))
  }

  async #toOutcome (drafts: readonly TaskDraft[], batch_id: string, [answer, found, ended, replayed_batch, deferred]: EnqueueAnswer): Promise<BatchOutcome> {
    if (answer === 'accepted' || answer === 'replayed') {
      const unread = (found as DraftAnswer[]).map(([, record]) => record).filter(record => typeof record === 'string')
      const read = new Map((unread.length > 0 ? await this.read(unread) : []).map((task, i) => [unread[i]!, task]))
      const enqueued = (found as DraftAnswer[]).map(([outcome, record, now, step, at, position, deps], i) => ({
        outcome,
        task: now !== undefined
          ? newTask(drafts[i]!, Number(now), { current_step: step!, step_at: Number(at), queue_position: position!, depends_on: deps ? deps.split(' ') : [] })
          : typeof record === 'string' ? read.get(record) : record && toTask(record)
      }))
      // One whose retention has passed since is no longer part of the answer.
      const tasksFound = enqueued.filter((item): item is EnqueuedTask => item.task != null)
      const more = deferred === 1 ? { deferred: true as const } : {}
      return { outcome: answer, batch_id: replayed_batch ?? batch_id, tasks: tasksFound, superseded: tasks(ended ?? []), ...more }
    }
    switch (answer) {
      case 'key_reused': return { outcome: answer }
      case 'tenant_full': case 'scheduled_full': case 'queue_full': return { outcome: answer, fresh: found as number }
      case 'dependency_unknown': case 'dependency_failed': return { outcome: answer, task_id: found as string }
      case 'task_crowded': return { outcome: 'too_many_batches', task_id: found as string }
      case 'charts_unasked': return { outcome: 'chart_check_required', charts: (found as UncheckedChart[]).map(([task_id, chart_id]) => ({ task_id, chart_id })) }
    }
  }

  #warnOfJump (jump: number): void {
    const what = jump > 0 ? `forward by ${jump} ms, or this process slept` : `back by ${-jump} ms`
    this.#logger?.warn({ jump }, `Redis' clock was set ${what}: leases and waits are measured by it, let NTP slew it and not step it`)
  }

  /** Runs what measures leases: it is told what the time should be, and answers what it was. */
  async #runOnTime<T> (name: 'dequeue' | 'extend' | 'close' | 'settleAndClaim', args: readonly Argument[], leaseDuration: number, timeOf: (reply: T) => string): Promise<T> {
    const sentAt = this.#clock.now()
    const reply = await this.#run<T>(name, [...args, this.#clock.expected()])
    this.#clock.observe(sentAt, Number(timeOf(reply)), leaseDuration)
    return reply
  }

  #run<T> (name: keyof typeof scripts, args: readonly Argument[]): Promise<T> {
    return this.#send(name, this.#keys.declared, [this.#now ? this.#now() : '', ...args])
  }

  async #send<T> (name: keyof typeof scripts, keys: readonly string[], args: readonly Argument[]): Promise<T> {
    const { sha, source } = scripts[name]
    return within(this.#commands, async () => {
      try {
        return await this.#commands.evalsha(sha, keys.length, ...keys, ...args) as T
      } catch (error) {
        // A restart, a failover or a flush forgets scripts.
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return await this.#commands.eval(source, keys.length, ...keys, ...args) as T
      }
    })
  }
}
