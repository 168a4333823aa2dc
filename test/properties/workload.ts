import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { completion, failing, LEASE, releasing, Scene, type Wish } from '../../lib/store/conformance/scene.ts'
import type { Settlement, EnqueuedTask, ProgressReport, Claimed, ClaimedTask } from '../../lib/store/task-store.ts'
import { ChartPriority, ChartStatus, ChartVisibility, isFinished } from '../../lib/task.ts'
import type { Random } from '../helpers/random.ts'
import { Invariants } from './invariants.ts'

const MESSAGES = [randomUUID(), randomUUID(), randomUUID()]
const CALLERS = [{ user_id: 'ada', org_id: 'acme' }, { user_id: 'bob', org_id: 'acme' }, { user_id: 'eve', org_id: null }]
const WORKERS = 4

/** Users, workers and operators that make random calls, one at a time. */
export class Workload {
  readonly invariants: Invariants
  readonly #scene: Scene
  readonly #random: Random
  readonly #runningPerTenant: number
  readonly #held: ClaimedTask[][] = Array.from({ length: WORKERS }, () => [])
  /** Leases whose worker has crashed, or that are settled. */
  readonly #stale: ClaimedTask[] = []

  constructor (scene: Scene, random: Random) {
    this.#scene = scene
    this.#random = random
    this.#runningPerTenant = random.pick([0, 1, 2])
    this.invariants = new Invariants(scene.store)
  }

  async step (): Promise<void> {
    const { between, pick } = this.#random
    const worker = between(0, WORKERS - 1)
    const actions = [
      () => this.#enqueue(1),
      () => this.#enqueue(between(2, 4)),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#writeStale(),
      () => this.#readMessage(),
      () => this.#cancel(),
      () => this.#operate(),
      async () => this.#scene.pass(pick([1, 100, 1_000, LEASE / 2, LEASE]))
    ]
    await pick(actions)()
  }

  /** Works until no task is left. Rejects if a task can never run. */
  async drain (): Promise<void> {
    for (const claimed of this.#held.flat()) this.#stale.push(claimed)
    await this.#scene.store.setPaused(false)
    for (let rounds = 0; rounds < 2_000; rounds++) {
      const claimed = await this.#scene.claim({ worker_id: 'drain', count: 3, runningPerTenant: this.#runningPerTenant })
      await this.#onClaimed(claimed)
      for (const task of claimed.tasks) await this.#settle([this.#settlement(task, 'complete')])
      const { queue_length, processing_count } = await this.#scene.store.stats()
      if (queue_length + processing_count === 0) return
      if (claimed.tasks.length === 0) {
        assert.notEqual(claimed.due, null, 'a waiting task is due at some time')
        this.#scene.pass(claimed.due!)
      }
    }
    assert.fail('all tasks end')
  }

  async #enqueue (count: number): Promise<void> {
    const { between, next, pick } = this.#random
    const { user_id, org_id } = pick(CALLERS)
    const sometimes = <T>(share: number, rare: T, usual: T) => next() < share ? rare : usual
    const backoff = { delay: pick([0, 500, 3_000]) }
    const attempts = between(1, 3)
    const waitingPerTenant = sometimes(0.2, 5, 0)
    const queueTimeout = sometimes(0.2, pick([1_000, LEASE]), 0)
    const idempotency = sometimes(0.2, { key: `${user_id}-${count > 1}-${between(0, 2)}`, body: 'body' }, null)
    const drafts: ReturnType<Scene['draft']>[] = []
    for (let i = 0; i < count; i++) {
      const message_id = pick(MESSAGES)
      const own = [...this.invariants.ownedBy(user_id), ...drafts.map(({ task_id }) => task_id)]
      const wish: Wish = {
        user_id,
        org_id,
        message_id,
        visibility: pick(Object.values(ChartVisibility)),
        dedup_key: `${user_id}-${message_id}-${between(0, 2)}`,
        force: next() < 0.5,
        priority: pick(Object.values(ChartPriority)),
        run_at: sometimes(0.1, Date.parse(this.#scene.date) + pick([-1, 1_000, LEASE]), null),
        supersede: next() < 0.1,
        depends_on: own.length > 0 && next() < 0.3 ? [...new Set([pick(own), own.at(-1)!])] : [],
        attempts,
        backoff,
        waitingPerTenant,
        scheduledPerTenant: waitingPerTenant,
        queueTimeout,
        weight: sometimes(0.3, between(2, 60), 1),
        idempotency
      }
      drafts.push(this.#scene.draft(wish))
    }
    const result = count === 1 ? await this.#scene.store.enqueue(drafts[0]!) : await this.#scene.store.enqueueBatch(randomUUID(), drafts)
    if (!('superseded' in result)) return
    const enqueued: readonly EnqueuedTask[] = 'tasks' in result ? result.tasks : [result]
    for (const { outcome, task } of enqueued) {
      if (outcome === 'queued') await this.invariants.accepted(task)
      else assert.ok(this.invariants.knows(task.task_id), 'the answer names an accepted task')
      this.invariants.saw(task)
    }
    for (const task of result.superseded) this.invariants.saw(task)
  }

  async #work (worker: number): Promise<void> {
    const held = this.#held[worker]!
    const current = held.length > 0 ? held[this.#random.between(0, held.length - 1)] : undefined
    if (!current) return this.#dequeue(worker)
    switch (this.#random.between(0, 7)) {
      case 0: return this.#dequeue(worker)
      case 1: {
        // The worker crashes: its leases are never settled.
        this.#stale.push(...held.splice(0))
        return
      }
      case 2: {
        const [answer] = await this.#scene.store.extend([{ task_id: current.task.task_id, lease: current.lease }], LEASE)
        if (answer !== 'ok') this.#forget(worker, current)
        return
      }
      case 3: {
        await this.#write(current, () => this.#scene.store.checkpoint({ task_id: current.task.task_id, lease: current.lease, name: 'plan', value: '1', maxBytes: 0 }).then(answer => answer === 'ok'))
        return
      }
      case 4: {
        await this.#write(current, () => this.#scene.store.progress([this.#report(current)]).then(([current]) => current!))
        return
      }
      default: {
        this.#forget(worker, current)
        await this.#settle([this.#settlement(current)], this.#random.next() < 0.5 ? worker : null)
      }
    }
  }

  /** The store must refuse stale leases. */
  async #writeStale (): Promise<void> {
    if (this.#stale.length === 0) return
    const stale = this.#random.pick(this.#stale)
    if (this.#random.next() < 0.5) await this.#write(stale, () => this.#scene.store.progress([this.#report(stale)]).then(([current]) => current!))
    else await this.#settle([this.#settlement(stale)])
  }

  async #readMessage (): Promise<void> {
    const { user_id, org_id } = this.#random.pick(CALLERS)
    const { active, completed, failed } = await this.#scene.store.readMessage({ message_id: this.#random.pick(MESSAGES), user_id, org_id, limit: 1_000 })
    for (const task of await this.#scene.all([...active, ...completed, ...failed])) this.invariants.saw(task)
    assert.deepEqual(active.filter(({ completed_at }) => completed_at !== null), [], 'an active task has not ended')
    const ids = [...active, ...completed, ...failed].map(({ task_id }) => task_id)
    assert.equal(new Set(ids).size, ids.length, 'a task is listed once')
  }

  /** Pauses or resumes the queue, or reads lists and details. */
  async #operate (): Promise<void> {
    const { next, pick } = this.#random
    if (next() < 0.5) return this.#scene.store.setPaused(next() < 0.3)
    const status = pick([undefined, ...Object.values(ChartStatus)])
    const { tasks } = await this.#scene.store.list({ filter: { status }, limit: 5, cursor: null })
    for (const task of tasks) {
      assert.equal(status ?? task.status, task.status)
      this.invariants.saw(task)
      const details = await this.#scene.store.inspect(task.task_id)
      const { attempts } = details!
      assert.deepEqual(attempts.map(({ lease }) => lease), [...attempts].map(({ lease }) => lease).sort((a, b) => a - b), 'attempts are listed in order, each once')
      assert.deepEqual(attempts.filter(({ ended_at }) => ended_at === null).length, task.status === 'PROCESSING' ? 1 : 0, 'one attempt runs if the task is PROCESSING, else none')
    }
  }

  async #cancel (): Promise<void> {
    const ids = this.invariants.ids
    if (ids.length === 0) return
    const result = await this.#scene.store.cancel(this.#random.pick(ids))
    assert.ok(result && isFinished(result.task), 'a cancelled task has ended')
    for (const task of [result.task, ...result.ended]) this.invariants.saw(task)
  }

  async #dequeue (worker: number): Promise<void> {
    const claimed = await this.#scene.claim({ worker_id: `worker-${worker}`, count: this.#random.between(1, 3), runningPerTenant: this.#runningPerTenant })
    await this.#onClaimed(claimed, worker)
  }

  async #onClaimed (claimed: Claimed, worker?: number): Promise<void> {
    for (const task of claimed.lost) this.invariants.saw(task)
    for (const task of claimed.tasks) {
      this.invariants.claimed(task)
      for (const needed of await this.#scene.store.read(task.task.depends_on)) assert.equal(needed?.status, 'COMPLETED', 'the dependencies of a claimed task are COMPLETED')
      if (worker !== undefined) this.#held[worker]!.push(task)
    }
  }

  #forget (worker: number, claimed: ClaimedTask): void {
    this.#held[worker]!.splice(this.#held[worker]!.indexOf(claimed), 1)
    this.#stale.push(claimed)
  }

  #report ({ task, lease }: ClaimedTask): ProgressReport {
    const { between, pick } = this.#random
    const step = pick(['query', 'render', null])
    return { task_id: task.task_id, lease, progress: pick([null, between(0, 99)]), step, step_progress: step ? { [step]: between(0, 100) } : {} }
  }

  #settlement (claimed: ClaimedTask, verb = this.#random.pick(['complete', 'complete', 'complete', 'fail', 'fail', 'release'])): Settlement {
    const { pick } = this.#random
    if (verb === 'complete') return completion(claimed, `{"by":"${claimed.task.task_id} ${claimed.lease}"}`)
    return verb === 'fail' ? failing(claimed, { delay: pick([null, 'never', 0, 2_000]) }) : releasing(claimed)
  }

  /** Checks the fence: only the latest lease can write. */
  async #write ({ task: { task_id }, lease }: ClaimedTask, write: () => Promise<boolean>): Promise<void> {
    const [before] = await this.#scene.store.read([task_id])
    if (await write()) return this.invariants.wrote(task_id, lease)
    assert.deepEqual(await this.#scene.store.read([task_id]), [before], 'a refused write changes nothing')
  }

  async #settle (settlements: Settlement[], worker: number | null = null): Promise<void> {
    const [settlement] = settlements
    const claim = worker === null ? null : this.#scene.wish({ worker_id: `worker-${worker}`, count: 2, runningPerTenant: this.#runningPerTenant })
    const { settled, claimed } = await this.#scene.store.settleAttempts(settlements, claim)
    if (settled[0]!.current) this.invariants.settled(settlement!)
    if (settled[0]!.finished) this.invariants.saw(settled[0]!.finished)
    await this.#onClaimed(claimed, worker ?? undefined)
  }
}
