import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { ChartPriority, ChartVisibility, type ChartRequest, type StoredTask } from '../../task.ts'
import type { Settled, Settlement, RetryPolicy, Claim, Claimed, ClaimedTask, TaskDraft, TaskPage, TaskRef, TaskStore } from '../task-store.ts'
import type { TaskFilter } from '../../task-filter.ts'

/** Opens a store that is empty and nobody else's; `now` is its only clock (ms). The case closes it. */
export type OpenStore = (options: { now: () => number }) => Promise<TaskStore>

/** One promise of the port; `run` rejects where a store does not keep it. */
export interface ConformanceCase {
  readonly name: string
  run (open: OpenStore): Promise<void>
}

/** The part of a draft that a case is about; the rest has defaults. */
export interface Wish extends Partial<Omit<TaskDraft, 'request' | 'retry'>> {
  readonly org_id?: string | null
  readonly visibility?: ChartVisibility
  readonly adjustment_query?: string | null
  readonly attempts?: number
  readonly backoff?: Partial<RetryPolicy['backoff']>
  readonly request?: string
}

export const LEASE = 10_000
export const DAY = 86_400_000
export const CONTENT = '{"mark":"bar"}'

/** An empty store, a clock that only the case moves, and the methods of the port with defaults for what the case is not about. */
export class Scene {
  readonly store: TaskStore
  readonly #clock: { ms: number }
  readonly #messages = new Map<string, string>()

  private constructor (store: TaskStore, clock: { ms: number }) {
    this.store = store
    this.#clock = clock
  }

  static async play (open: OpenStore, play: (scene: Scene) => Promise<void>): Promise<void> {
    const clock = { ms: Date.parse('2030-01-01T00:00:00.000Z') }
    const store = await open({ now: () => clock.ms })
    try {
      await play(new Scene(store, clock))
    } finally {
      await store.close()
    }
  }

  /** Moves the store's time on. */
  pass (ms: number): void {
    this.#clock.ms += ms
  }

  /** The store's time as tasks show it. */
  get date (): string {
    return new Date(this.#clock.ms).toISOString()
  }

  draft (wish: Wish = {}): TaskDraft {
    const { org_id = null, visibility = ChartVisibility.PRIVATE, adjustment_query = null, attempts = 3, backoff, request, ...fields } = wish
    const { task_id = randomUUID(), message_id = this.#messageOf(fields.dedup_key), user_id = 'ada', force = false } = fields
    const json = request ?? JSON.stringify({ task_id, message_id, user_id, org_id, visibility, force_create: force, adjustment_query })
    const asked = JSON.parse(json) as ChartRequest
    return {
      task_id,
      message_id,
      user_id,
      force,
      tenant: org_id === null ? `user:${user_id}` : `org:${org_id}`,
      shared_with: visibility === ChartVisibility.PRIVATE ? null : org_id,
      dedup_key: randomUUID(),
      idempotency: null,
      request: json,
      requested: { message_id: asked.message_id, org_id: asked.org_id, visibility: asked.visibility, adjustment_query: asked.adjustment_query },
      retention: { task: 86_400, status: 3_600, messageIndex: 86_400 },
      retry: { attempts, backoff: { type: 'fixed', delay: 1_000, max: 60_000, jitter: 0, ...backoff } },
      waitingPerTenant: 0,
      scheduledPerTenant: 0,
      queueLength: 0,
      queueTimeout: 0,
      weight: 1,
      retry_of: null,
      trace: null,
      stores_content: true,
      chart_check: null,
      priority: ChartPriority.NORMAL,
      run_at: null,
      supersede: false,
      depends_on: [],
      ...fields
    }
  }

  /** What asks for the same chart is of the same message. */
  #messageOf (dedup_key: string | undefined): string {
    const message_id = (dedup_key !== undefined && this.#messages.get(dedup_key)) || randomUUID()
    if (dedup_key !== undefined) this.#messages.set(dedup_key, message_id)
    return message_id
  }

  /** Accepts a task that must be new. */
  async enqueue (wish: Wish = {}): Promise<StoredTask> {
    const result = await this.store.enqueue(this.draft(wish))
    assert.equal(result.outcome, 'queued')
    assert.ok('task' in result, 'a queued task is shown')
    return result.task
  }

  async enqueueMany (count: number, wish: Wish = {}): Promise<string[]> {
    const ids: string[] = []
    for (let i = 0; i < count; i++) ids.push((await this.enqueue(wish)).task_id)
    return ids
  }

  wish (claim: Partial<Claim> = {}): Claim {
    return { worker_id: 'worker', claim_id: randomUUID(), count: 1, leaseDuration: LEASE, runningPerTenant: 0, beside: 0, ...claim }
  }

  claim (claim: Partial<Claim> = {}): Promise<Claimed> {
    return this.store.claim(this.wish(claim))
  }

  /** The ids of the claimed tasks. */
  async claimIds (claim: Partial<Claim> = {}): Promise<string[]> {
    return idsOf((await this.claim(claim)).tasks)
  }

  /** Claims a task that must be there. */
  async claimOne (claim: Partial<Claim> = {}): Promise<ClaimedTask> {
    const { tasks } = await this.claim(claim)
    assert.equal(tasks.length, 1, 'a task is claimed')
    return tasks[0]!
  }

  /** A new task that a worker has claimed. */
  async claimed (wish: Wish = {}): Promise<ClaimedTask> {
    const { task_id } = await this.enqueue(wish)
    const claimed = await this.claimOne()
    assert.equal(claimed.task.task_id, task_id)
    return claimed
  }

  async settle (settlement: Settlement): Promise<Settled> {
    const { settled } = await this.store.settleAttempts([settlement], null)
    assert.equal(settled.length, 1)
    return settled[0]!
  }

  complete (claimed: ClaimedTask, content: string | null = CONTENT): Promise<Settled> {
    return this.settle(completion(claimed, content))
  }

  fail (claimed: ClaimedTask, failure: Partial<Failure> = {}): Promise<Settled> {
    return this.settle(failing(claimed, failure))
  }

  release (claimed: ClaimedTask): Promise<Settled> {
    return this.settle(releasing(claimed))
  }

  /** A task that has been worked to its end. */
  async completed (wish: Wish = {}, content: string | null = CONTENT): Promise<StoredTask> {
    const { current, finished } = await this.complete(await this.claimed(wish), content)
    assert.equal(current, true)
    assert.equal(finished?.status, 'COMPLETED')
    return finished
  }

  async failed (wish: Wish = {}): Promise<StoredTask> {
    const { finished } = await this.fail(await this.claimed(wish), { delay: 'never' })
    assert.equal(finished?.status, 'FAILED')
    return finished
  }

  async cancelled (wish: Wish = {}): Promise<StoredTask> {
    const { task_id } = await this.enqueue(wish)
    const cancelled = await this.store.cancel(task_id)
    assert.equal(cancelled?.task.status, 'CANCELLED')
    return cancelled.task
  }

  /** The task as it is stored now. */
  async read (task_id: string): Promise<StoredTask> {
    const [task] = await this.store.read([task_id])
    assert.ok(task, 'the task is known')
    return task
  }

  /** The tasks of a batch that must be known. */
  async batch (batch_id: string): Promise<StoredTask[]> {
    const batch = await this.store.readBatch(batch_id)
    assert.ok(batch, 'the batch is known')
    return this.all(batch.tasks)
  }

  /** The tasks that an index names. */
  async all (refs: readonly TaskRef[]): Promise<StoredTask[]> {
    const tasks = await this.store.read(idsOf(refs))
    assert.ok(tasks.every(task => task !== null), 'what is named is known')
    return tasks
  }

  /** Runs what must not change a task, and holds it to that. */
  async unchanged<T> (task_id: string, run: () => Promise<T>): Promise<T> {
    const before = await this.read(task_id)
    const answer = await run()
    assert.deepEqual(await this.read(task_id), before, 'nothing was changed')
    return answer
  }
}

type Failure = Omit<Extract<Settlement, { verb: 'fail' }>, 'task_id' | 'lease' | 'verb'>
type Held = Pick<ClaimedTask, 'lease'> & { readonly task: Pick<StoredTask, 'task_id'> }

export function completion ({ task, lease }: Held, content: string | null = CONTENT): Settlement & { readonly chart_id: string } {
  return { task_id: task.task_id, lease, verb: 'complete', chart_id: randomUUID(), content }
}

export function failing ({ task, lease }: Held, failure: Partial<Failure> = {}): Settlement {
  return { task_id: task.task_id, lease, verb: 'fail', code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null, ...failure }
}

export function releasing ({ task, lease }: Held): Settlement {
  return { task_id: task.task_id, lease, verb: 'release' }
}

export const leaseOf = ({ task, lease }: Held) => ({ task_id: task.task_id, lease })

export const idsOf = (tasks: readonly (TaskRef | StoredTask | ClaimedTask)[]): string[] =>
  tasks.map(task => 'lease' in task ? task.task.task_id : task.task_id)

/** A task as an index names it. */
export const refOf = ({ task_id, created_at, completed_at }: StoredTask): TaskRef =>
  ({ task_id, created_at: Date.parse(created_at), completed_at: completed_at === null ? null : Date.parse(completed_at) })

/** Tasks that one call ends, or lets run, because of others. */
export const PART = 25

/** Handles the deferred effects of earlier calls, as the service does. Returns the ids of the tasks that this ended. No call does too much. */
export async function propagate (scene: Scene): Promise<string[]> {
  const ids: string[] = []
  for (let more = true; more;) {
    const { claimed: { lost, due, deferred } } = await scene.store.settleAttempts([], scene.wish({ worker_id: 'settler', count: 0 }))
    assert.ok(lost.length <= PART, `${lost.length} ended in one call`)
    ids.push(...idsOf(lost))
    more = deferred === true
    if (more) assert.ok(due !== null && due <= 1_000, 'a worker would go on soon')
  }
  return ids
}

/** The tasks of a list from a cursor on, page by page: the port lets pages have fewer tasks than the limit. */
export async function listAll (scene: Scene, filter: TaskFilter, limit: number, cursor: string | null = null): Promise<StoredTask[]> {
  const tasks: StoredTask[] = []
  do {
    const page: TaskPage<StoredTask> = await scene.store.list({ filter, limit, cursor })
    assert.ok(page.tasks.length <= limit, 'no more tasks than the limit')
    assert.ok(page.cursor === null || (page.cursor.length >= 1 && page.cursor.length <= 512), 'a cursor has 1 to 512 characters')
    tasks.push(...page.tasks)
    cursor = page.cursor
  } while (cursor !== null)
  return tasks
}

/** The first `count` tasks of a list, and the cursor behind them. */
export async function listFirst (scene: Scene, filter: TaskFilter, count: number): Promise<TaskPage<StoredTask>> {
  const tasks: StoredTask[] = []
  let cursor: string | null = null
  while (tasks.length < count) {
    const page: TaskPage<StoredTask> = await scene.store.list({ filter, limit: count - tasks.length, cursor })
    tasks.push(...page.tasks)
    cursor = page.cursor
    assert.ok(tasks.length === count || cursor !== null, 'there are so many tasks')
  }
  return { tasks, cursor }
}

/** Names the cases of one theme. */
export function cases (theme: string, scenes: Readonly<Record<string, (scene: Scene) => Promise<void>>>): ConformanceCase[] {
  return Object.entries(scenes).map(([name, play]) => ({ name: `${theme}: ${name}`, run: open => Scene.play(open, play) }))
}
