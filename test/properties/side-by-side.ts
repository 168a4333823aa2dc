import assert from 'node:assert/strict'
import type { BatchOutcome, Settlement, EnqueueOutcome, Claim, Claimed, TaskDraft, TaskPage, TaskStore } from '../../lib/store/task-store.ts'
import type { TaskFilter } from '../../lib/task-filter.ts'
import { ChartVisibility, type ChartTask } from '../../lib/task.ts'
import { DELAY, LEASE, RETENTION, type SettlementWish, type Command, type ClaimWish, type Terms, type Wish } from './commands.ts'

const USERS = ['ada', 'bob']
const ORGS = ['acme', 'bolt']
const EVERY = 4

/** Ids whose order differs from that of their creation, because tasks with equal times are ordered by id. */
const uuid = (kind: number, n: number) => `${(Math.imul(n + 1, 0x9E3779B1) >>> 0).toString(16).padStart(8, '0')}-000${kind}-4000-8000-${n.toString(16).padStart(12, '0')}`
const MESSAGES = [uuid(1, 0), uuid(1, 1)]

interface Held { readonly task_id: string, readonly lease: number }
/** `kept`: whether the host still has an existing chart. `until`: how long the call may be repeated. */
interface Call { readonly drafts: readonly TaskDraft[], readonly batch_id: string | null, readonly kept: boolean, readonly until: number }

/** The n-th latest thing. */
const latest = <T>(list: readonly T[], n: number): T | undefined => list.length === 0 ? undefined : list[list.length - 1 - n % list.length]

/** Creates two stores with the same clock. The first one defines what is right. */
export type MakeStores = (now: () => number) => readonly [expected: TaskStore, actual: TaskStore]

/** Plays commands on two stores, and compares them. */
export class SideBySide {
  readonly #clock: { ms: number }
  readonly #stores: readonly [TaskStore, TaskStore]
  readonly #tasks: string[] = []
  readonly #batches: string[] = []
  readonly #charts: string[] = []
  readonly #held: Held[] = []
  readonly #calls: Call[] = []
  readonly #claims = new Map<number, { claim: Claim, until: number }>()
  #ids = 0

  private constructor (stores: readonly [TaskStore, TaskStore], clock: { ms: number }) {
    this.#stores = stores
    this.#clock = clock
  }

  /** Rejects if the stores answer differently, or then hold different data. `look`: compares more after each command. */
  static async play (makeStores: MakeStores, commands: readonly Command[], look?: () => Promise<void>): Promise<void> {
    const clock = { ms: Date.parse('2030-01-01T00:00:00.000Z') }
    const stores = makeStores(() => clock.ms)
    const both = new SideBySide(stores, clock)
    try {
      for (const [i, command] of commands.entries()) {
        try {
          await both.#do(command)
          await look?.()
          if (i % EVERY === EVERY - 1 || i === commands.length - 1) await both.#look()
        } catch (error) {
          if (error instanceof Error) error.message = `at command ${i + 1} of ${commands.length}, ${command.verb}: ${error.message}`
          throw error
        }
      }
    } finally {
      await Promise.all(stores.map(store => store.close()))
    }
  }

  async #both<T> (what: string, ask: (store: TaskStore) => Promise<T>): Promise<T> {
    const [expected, actual] = await Promise.all(this.#stores.map(ask)) as [T, T]
    assert.deepEqual(actual, expected, `${what}: the stores answer differently`)
    return expected
  }

  async #do (command: Command): Promise<void> {
    switch (command.verb) {
      case 'enqueue': return this.#enqueue(command.terms, [command.wish], null)
      case 'batch': return this.#enqueue(command.terms, command.wishes, uuid(3, this.#ids++))
      case 'repeat': {
        const call = latest(this.#calls, command.call)
        if (call && call.until > this.#clock.ms) await this.#ask(call)
        return
      }
      case 'claim': {
        const claim = this.#claim(command.claim)
        return this.#claimed(await this.#both('claim', store => store.claim(claim)))
      }
      case 'settle': return this.#settle(command.settlements, command.claim)
      case 'progress': {
        const reports = command.reports.flatMap(({ held, ...report }) => this.#leases([held]).map(lease => ({ ...lease, ...report })))
        await this.#both('progress', store => store.progress(reports))
        return
      }
      case 'checkpoint': {
        const { name, value, maxBytes } = command
        for (const { task_id, lease } of this.#leases([command.held])) {
          await this.#both('checkpoint', store => store.checkpoint({ task_id, lease, name, value, maxBytes }))
        }
        return
      }
      case 'extend': {
        const leases = this.#leases(command.held)
        await this.#both('extend', store => store.extend(leases, command.duration))
        return
      }
      case 'cancel': {
        const task_id = latest(this.#tasks, command.task) ?? uuid(2, 0)
        await this.#both('cancel', store => store.cancel(task_id))
        return
      }
      case 'cancelAll': {
        const task_ids = command.tasks.map(task => latest(this.#tasks, task) ?? uuid(2, 0))
        await this.#both('cancelAll', store => store.cancelAll(task_ids))
        return
      }
      case 'pause': {
        await this.#both('setPaused', store => store.setPaused(command.paused))
        return
      }
      case 'cleanup': {
        await this.#both('cleanup', store => store.cleanup())
        return
      }
      case 'pass': this.#clock.ms += command.ms
    }
  }

  #draft (wish: Wish, terms: Terms, siblings: readonly string[], first: Wish, single: boolean): TaskDraft {
    // The port requires that the tasks of a call have the same caller and terms.
    const user_id = USERS[first.user]!
    const org_id = first.org === null ? null : ORGS[first.org]!
    const message_id = MESSAGES[wish.message]!
    const { visibility, force, priority, run_in, supersede } = wish
    const task_id = uuid(2, this.#ids++)
    const known = [...this.#tasks, ...siblings]
    const needs = new Set(wish.needs.map(n => latest(known, n)).filter(need => need !== undefined))
    return {
      task_id,
      message_id,
      user_id,
      tenant: org_id === null ? `user:${user_id}` : `org:${org_id}`,
      shared_with: visibility === ChartVisibility.PRIVATE ? null : org_id,
      dedup_key: [wish.message, first.user, first.org, visibility, wish.wanted].join('-'),
      force,
      priority,
      run_at: run_in === null ? null : this.#clock.ms + run_in,
      depends_on: [...needs],
      supersede,
      idempotency: terms.key === null ? null : { key: `key-${user_id}-${org_id}-${terms.key}`, body: `body-${terms.body}-${single}` },
      request: JSON.stringify({ task_id, message_id, user_id, org_id, visibility, force_create: force, adjustment_query: null }),
      requested: { message_id, org_id, visibility, adjustment_query: null },
      retention: terms.long ? RETENTION.long : RETENTION.short,
      retry: { attempts: first.attempts, backoff: { type: first.exponential ? 'exponential' : 'fixed', delay: DELAY, max: 2 * DELAY, jitter: 0 } },
      waitingPerTenant: terms.waitingPerTenant,
      scheduledPerTenant: terms.scheduledPerTenant,
      queueLength: terms.queueLength,
      queueTimeout: terms.queueTimeout,
      weight: terms.weight,
      trace: wish.trace,
      retry_of: (wish.repeats !== null && latest(this.#tasks, wish.repeats)) || null,
      stores_content: first.inside,
      chart_check: null
    }
  }

  async #enqueue (terms: Terms, wishes: readonly Wish[], batch_id: string | null): Promise<void> {
    const drafts: TaskDraft[] = []
    for (const wish of wishes) drafts.push(this.#draft(wish, terms, drafts.map(({ task_id }) => task_id), wishes[0]!, batch_id === null))
    if (batch_id !== null) this.#batches.push(batch_id)
    const call = { drafts, batch_id, kept: !terms.lost, until: this.#clock.ms + LEASE }
    this.#calls.push(call)
    for (const { task } of await this.#ask(call)) if (!this.#tasks.includes(task.task_id)) this.#tasks.push(task.task_id)
  }

  async #ask (call: Call): Promise<ReadonlyArray<{ readonly task: ChartTask }>> {
    const { drafts, batch_id, kept } = call
    const answer: EnqueueOutcome | BatchOutcome = batch_id === null
      ? await this.#both('enqueue', store => store.enqueue(drafts[0]!))
      : await this.#both('enqueueBatch', store => store.enqueueBatch(batch_id, drafts))
    if ('tasks' in answer) return answer.tasks
    if (answer.outcome === 'chart_check_required') {
      const checked = new Map(answer.charts.map(({ task_id, chart_id }) => [task_id, { chart_id, kept }]))
      return this.#ask({ ...call, drafts: drafts.map(draft => ({ ...draft, chart_check: checked.get(draft.task_id) ?? draft.chart_check })) })
    }
    return 'task' in answer ? [answer] : []
  }

  /** A claim is repeated only while its leases last, as workers do. */
  #claim ({ worker, isRepeated, count, runningPerTenant, beside }: ClaimWish): Claim {
    const before = this.#claims.get(worker)
    if (isRepeated && before && before.until > this.#clock.ms) return before.claim
    const claim = { worker_id: `worker-${worker}`, claim_id: `claim-${this.#ids++}`, count, leaseDuration: LEASE, runningPerTenant, beside }
    this.#claims.set(worker, { claim, until: this.#clock.ms + LEASE })
    return claim
  }

  #claimed ({ tasks }: Claimed): void {
    for (const { task: { task_id }, lease } of tasks) {
      if (!this.#held.some(held => held.task_id === task_id && held.lease === lease)) this.#held.push({ task_id, lease })
    }
  }

  #leases (held: readonly number[]): Held[] {
    return held.map(n => latest(this.#held, n)).filter(lease => lease !== undefined)
  }

  async #settle (wishes: readonly SettlementWish[], wanted: ClaimWish | null): Promise<void> {
    const settlements = wishes.flatMap(wish => this.#leases([wish.held]).map(lease => this.#settlement(lease, wish)))
    const claim = wanted && this.#claim(wanted)
    const { claimed } = await this.#both('settleAttempts', store => store.settleAttempts(settlements, claim))
    this.#claimed(claimed)
  }

  #settlement (lease: Held, wish: SettlementWish): Settlement {
    switch (wish.verb) {
      case 'complete': return { ...lease, verb: 'complete', chart_id: this.#chart(), content: wish.content ? `{"chart":${this.#ids}}` : null }
      case 'fail': return { ...lease, verb: 'fail', code: 'NO_DATA', message: wish.message ? 'No rows' : null, delay: wish.delay }
      case 'release': return { ...lease, verb: 'release' }
    }
  }

  #chart (): string {
    const chart_id = uuid(4, this.#ids++)
    this.#charts.push(chart_id)
    return chart_id
  }

  async #list (filter: TaskFilter, limit: number): Promise<void> {
    for (let cursor: string | null = null, pages = 0; pages < 4; pages++) {
      const page: TaskPage = await this.#both('list', store => store.list({ filter, limit, cursor }))
      cursor = page.cursor
      if (cursor === null) return
    }
  }

  async #look (): Promise<void> {
    await this.#both('read', store => store.read(this.#tasks))
    await this.#both('stats', store => store.stats())
    await this.#both('snapshot', store => store.snapshot())
    await Promise.all([
      this.#list({}, 3),
      this.#list({ status: 'PENDING', user_id: USERS[0] }, 1),
      this.#list({ status: 'FAILED', tenant: `org:${ORGS[0]}` }, 2),
      ...this.#tasks.map(id => this.#both('inspect', store => store.inspect(id))),
      ...this.#tasks.map(id => this.#both('readRequest', store => store.readRequest(id))),
      ...this.#charts.map(id => this.#both('readContent', store => store.readContent(id))),
      ...this.#batches.map(id => this.#both('readBatch', store => store.readBatch(id))),
      ...MESSAGES.flatMap(message => USERS.flatMap(user => [
        this.#both('readActive', store => store.readActive({ message_id: message, user_id: user, limit: 2 })),
        ...[2, 100].map(limit => this.#both('readEnded', async store => (await store.readEnded({ message_id: message, user_id: user, since: 0, limit })).tasks)),
        ...[null, ...ORGS].flatMap(org => [2, 100].map(limit => this.#both('readMessage', store => store.readMessage({ message_id: message, user_id: user, org_id: org, limit }))))
      ]))
    ])
  }
}
