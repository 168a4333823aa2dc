import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { completion, failing, LEASE, releasing, Scene, type Wish } from '../../lib/store/conformance/scene.ts'
import type { Settlement, EnqueuedTask, ProgressReport, Claimed, ClaimedTask } from '../../lib/store/task-store.ts'
import { ChartPriority, ChartStatus, ChartVisibility, isFinished } from '../../lib/task.ts'
import type { Random } from '../helpers/random.ts'
import { Witness } from './witness.ts'

const MESSAGES = [randomUUID(), randomUUID(), randomUUID()]
const CALLERS = [{ user_id: 'ada', org_id: 'acme' }, { user_id: 'bob', org_id: 'acme' }, { user_id: 'eve', org_id: null }]
const WORKERS = 4

/** Users and workers who do as they like, one call at a time in an order that chance decides. */
export class Crowd {
  readonly witness: Witness
  readonly #scene: Scene
  readonly #random: Random
  readonly #cap: number
  readonly #held: ClaimedTask[][] = Array.from({ length: WORKERS }, () => [])
  /** Leases of workers that have forgotten them, or that are done with. */
  readonly #ghosts: ClaimedTask[] = []

  constructor (scene: Scene, random: Random) {
    this.#scene = scene
    this.#random = random
    this.#cap = random.pick([0, 1, 2])
    this.witness = new Witness(scene.store)
  }

  async step (): Promise<void> {
    const { between, pick } = this.#random
    const worker = between(0, WORKERS - 1)
    const deeds = [
      () => this.#enqueue(1),
      () => this.#enqueue(between(2, 4)),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#work(worker),
      () => this.#haunt(),
      () => this.#look(),
      () => this.#cancel(),
      () => this.#operate(),
      async () => this.#scene.pass(pick([1, 100, 1_000, LEASE / 2, LEASE]))
    ]
    await pick(deeds)()
  }

  /** Everybody works until nothing is left; rejects where something waits for ever. */
  async drain (): Promise<void> {
    for (const claimed of this.#held.flat()) this.#ghosts.push(claimed)
    await this.#scene.store.setPaused(false)
    for (let rounds = 0; rounds < 2_000; rounds++) {
      const claimed = await this.#scene.claim({ worker_id: 'drain', count: 3, runningPerTenant: this.#cap })
      await this.#took(claimed)
      for (const task of claimed.tasks) await this.#close([this.#settlement(task, 'complete')])
      const { queue_length, processing_count } = await this.#scene.store.stats()
      if (queue_length + processing_count === 0) return
      if (claimed.tasks.length === 0) {
        assert.notEqual(claimed.due, null, 'what waits is due at some time')
        this.#scene.pass(claimed.due!)
      }
    }
    assert.fail('the work comes to an end')
  }

  async #enqueue (count: number): Promise<void> {
    const { between, next, pick } = this.#random
    const { user_id, org_id } = pick(CALLERS)
    const often = <T>(part: number, rare: T, usual: T) => next() < part ? rare : usual
    const backoff = { delay: pick([0, 500, 3_000]) }
    const attempts = between(1, 3)
    const waitingPerTenant = often(0.2, 5, 0)
    const queueTimeout = often(0.2, pick([1_000, LEASE]), 0)
    const idempotency = often(0.2, { key: `${user_id}-${count > 1}-${between(0, 2)}`, body: 'body' }, null)
    const drafts: ReturnType<Scene['draft']>[] = []
    for (let i = 0; i < count; i++) {
      const message_id = pick(MESSAGES)
      const own = [...this.witness.ownedBy(user_id), ...drafts.map(({ task_id }) => task_id)]
      const wish: Wish = {
        user_id,
        org_id,
        message_id,
        visibility: pick(Object.values(ChartVisibility)),
        dedup_key: `${user_id}-${message_id}-${between(0, 2)}`,
        force: next() < 0.5,
        priority: pick(Object.values(ChartPriority)),
        run_at: often(0.1, Date.parse(this.#scene.date) + pick([-1, 1_000, LEASE]), null),
        supersede: next() < 0.1,
        depends_on: own.length > 0 && next() < 0.3 ? [...new Set([pick(own), own.at(-1)!])] : [],
        attempts,
        backoff,
        waitingPerTenant,
        scheduledPerTenant: waitingPerTenant,
        queueTimeout,
        weight: often(0.3, between(2, 60), 1),
        idempotency
      }
      drafts.push(this.#scene.draft(wish))
    }
    const result = count === 1 ? await this.#scene.store.enqueue(drafts[0]!) : await this.#scene.store.enqueueBatch(randomUUID(), drafts)
    if (!('superseded' in result)) return
    const enqueued: readonly EnqueuedTask[] = 'tasks' in result ? result.tasks : [result]
    for (const { outcome, task } of enqueued) {
      if (outcome === 'queued') await this.witness.accepted(task)
      else assert.ok(this.witness.knows(task.task_id), 'an answer names a task that was accepted')
      this.witness.saw(task)
    }
    for (const task of result.superseded) this.witness.saw(task)
  }

  async #work (worker: number): Promise<void> {
    const held = this.#held[worker]!
    const mine = held.length > 0 ? held[this.#random.between(0, held.length - 1)] : undefined
    if (!mine) return this.#dequeue(worker)
    switch (this.#random.between(0, 7)) {
      case 0: return this.#dequeue(worker)
      case 1: {
        // It crashes: nobody ever closes what it held.
        this.#ghosts.push(...held.splice(0))
        return
      }
      case 2: {
        const [answer] = await this.#scene.store.extend([{ task_id: mine.task.task_id, lease: mine.lease }], LEASE)
        if (answer !== 'ok') this.#drop(worker, mine)
        return
      }
      case 3: {
        await this.#write(mine, () => this.#scene.store.checkpoint({ task_id: mine.task.task_id, lease: mine.lease, name: 'plan', value: '1', maxBytes: 0 }).then(answer => answer === 'ok'))
        return
      }
      case 4: {
        await this.#write(mine, () => this.#scene.store.progress([this.#report(mine)]).then(([current]) => current!))
        return
      }
      default: {
        this.#drop(worker, mine)
        await this.#close([this.#settlement(mine)], this.#random.next() < 0.5 ? worker : null)
      }
    }
  }

  /** Who comes too late must not be heard. */
  async #haunt (): Promise<void> {
    if (this.#ghosts.length === 0) return
    const ghost = this.#random.pick(this.#ghosts)
    if (this.#random.next() < 0.5) await this.#write(ghost, () => this.#scene.store.progress([this.#report(ghost)]).then(([current]) => current!))
    else await this.#close([this.#settlement(ghost)])
  }

  async #look (): Promise<void> {
    const { user_id, org_id } = this.#random.pick(CALLERS)
    const { active, completed, failed } = await this.#scene.store.readMessage({ message_id: this.#random.pick(MESSAGES), user_id, org_id, limit: 1_000 })
    for (const task of await this.#scene.all([...active, ...completed, ...failed])) this.witness.saw(task)
    assert.deepEqual(active.filter(({ completed_at }) => completed_at !== null), [], 'what is active has not ended')
    const ids = [...active, ...completed, ...failed].map(({ task_id }) => task_id)
    assert.equal(new Set(ids).size, ids.length, 'a task is shown once')
  }

  /** Stops the queue or lets it go on, and looks at what there is. */
  async #operate (): Promise<void> {
    const { next, pick } = this.#random
    if (next() < 0.5) return this.#scene.store.setPaused(next() < 0.3)
    const status = pick([undefined, ...Object.values(ChartStatus)])
    const { tasks } = await this.#scene.store.list({ filter: { status }, limit: 5, cursor: null })
    for (const task of tasks) {
      assert.equal(status ?? task.status, task.status)
      this.witness.saw(task)
      const details = await this.#scene.store.inspect(task.task_id)
      const { attempts } = details!
      assert.deepEqual(attempts.map(({ lease }) => lease), [...attempts].map(({ lease }) => lease).sort((a, b) => a - b), 'tries are told in their order, each once')
      assert.deepEqual(attempts.filter(({ ended_at }) => ended_at === null).length, task.status === 'PROCESSING' ? 1 : 0, 'one try runs, or none')
    }
  }

  async #cancel (): Promise<void> {
    const ids = this.witness.ids
    if (ids.length === 0) return
    const result = await this.#scene.store.cancel(this.#random.pick(ids))
    assert.ok(result && isFinished(result.task), 'a cancelled task has ended')
    for (const task of [result.task, ...result.ended]) this.witness.saw(task)
  }

  async #dequeue (worker: number): Promise<void> {
    const claimed = await this.#scene.claim({ worker_id: `worker-${worker}`, count: this.#random.between(1, 3), runningPerTenant: this.#cap })
    await this.#took(claimed, worker)
  }

  async #took (claimed: Claimed, worker?: number): Promise<void> {
    for (const task of claimed.lost) this.witness.saw(task)
    for (const task of claimed.tasks) {
      this.witness.handedOut(task)
      for (const needed of await this.#scene.store.read(task.task.depends_on)) assert.equal(needed?.status, 'COMPLETED', 'what a task needs is there when it runs')
      if (worker !== undefined) this.#held[worker]!.push(task)
    }
  }

  #drop (worker: number, claimed: ClaimedTask): void {
    this.#held[worker]!.splice(this.#held[worker]!.indexOf(claimed), 1)
    this.#ghosts.push(claimed)
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

  /** Holds a write to the fence: only the lease that was handed out last is heard. */
  async #write ({ task: { task_id }, lease }: ClaimedTask, write: () => Promise<boolean>): Promise<void> {
    const [before] = await this.#scene.store.read([task_id])
    if (await write()) return this.witness.wrote(task_id, lease)
    assert.deepEqual(await this.#scene.store.read([task_id]), [before], 'what is refused changes nothing')
  }

  async #close (settlements: Settlement[], worker: number | null = null): Promise<void> {
    const [settlement] = settlements
    const claim = worker === null ? null : this.#scene.wish({ worker_id: `worker-${worker}`, count: 2, runningPerTenant: this.#cap })
    const { settled, claimed } = await this.#scene.store.settleAttempts(settlements, claim)
    if (settled[0]!.current) this.witness.settled(settlement!)
    if (settled[0]!.finished) this.witness.saw(settled[0]!.finished)
    await this.#took(claimed, worker ?? undefined)
  }
}
