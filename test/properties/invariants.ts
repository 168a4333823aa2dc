import assert from 'node:assert/strict'
import type { Settlement, ClaimedTask, TaskState, TaskStore } from '../../lib/store/task-store.ts'
import { isFinished, type ChartTask } from '../../lib/task.ts'
import { until } from '../helpers/gate.ts'

/** Checks every answer of a store against the invariants of a task's life. */
export class Invariants {
  readonly #store: TaskStore
  readonly #tasks = new Map<string, ChartTask>()
  /** The latest lease of each task. */
  readonly #leases = new Map<string, number>()
  readonly #charts = new Map<string, string>()
  readonly #hints = new Map<string, TaskState[]>()
  readonly #unlisten: () => void

  constructor (store: TaskStore) {
    this.#store = store
    this.#unlisten = store.listen({
      hint: (task_id, state) => { this.#hints.get(task_id)?.push(state) },
      cancelled: () => {},
      added: () => {},
      feed: () => {}
    })
  }

  get ids (): string[] {
    return [...this.#tasks.keys()]
  }

  ownedBy (user_id: string): string[] {
    return this.ids.filter(task_id => this.#tasks.get(task_id)!.user_id === user_id)
  }

  knows (task_id: string): boolean {
    return this.#tasks.has(task_id)
  }

  async accepted (task: ChartTask): Promise<void> {
    assert.equal(this.knows(task.task_id), false, 'a task is accepted once')
    assert.equal(task.version, 1)
    this.#tasks.set(task.task_id, { ...task, queue_position: null })
    this.#hints.set(task.task_id, [])
    assert.equal(await this.#store.subscribe(task.task_id), true)
  }

  saw (task: ChartTask): void {
    const before = this.#tasks.get(task.task_id)
    assert.ok(before, 'the task was accepted')
    assert.ok(task.version >= before.version, 'a version never decreases')
    // The position in the queue changes without a new version.
    const known = { ...task, queue_position: null }
    if (task.version === before.version || isFinished(before)) assert.deepEqual(known, before, 'nothing changes without a new version, or after the end')
    this.#tasks.set(task.task_id, known)
  }

  claimed ({ task, lease }: ClaimedTask): void {
    assert.ok(lease > (this.#leases.get(task.task_id) ?? 0), 'the number of a lease grows with each claim')
    assert.ok(task.attempt <= task.max_attempts, 'no more attempts than max_attempts')
    assert.equal(task.progress, 0)
    this.#leases.set(task.task_id, lease)
    this.saw(task)
  }

  wrote (task_id: string, lease: number): void {
    assert.equal(lease, this.#leases.get(task_id), 'only the current lease writes')
  }

  settled (settlement: Settlement): void {
    this.wrote(settlement.task_id, settlement.lease)
    // A repeated completion does not replace the chart.
    if (settlement.verb === 'complete' && !this.#charts.has(settlement.task_id)) this.#charts.set(settlement.task_id, settlement.chart_id)
  }

  /** To be called when all tasks have ended. */
  async checkEnd (): Promise<void> {
    for (const task of await this.#store.read(this.ids)) {
      assert.ok(task, 'an accepted task is kept')
      this.saw(task)
      assert.ok(isFinished(task), 'an accepted task has ended')
      assert.equal(task.completed_at === null, false)
      assert.equal(task.chart_id, task.status === 'COMPLETED' ? this.#charts.get(task.task_id) : null, 'a COMPLETED task names its chart, and no other task names one')
      if (task.chart_id) assert.match(await this.#store.readContent(task.chart_id) ?? '', new RegExp(task.task_id), 'the chart is there')
      const hints = this.#hints.get(task.task_id)!
      await until(() => hints.at(-1)?.version === task.version)
      this.#checkHints(hints, task)
    }
  }

  stop (): void {
    this.#unlisten()
  }

  #checkHints (hints: readonly TaskState[], { task_id, version }: ChartTask): void {
    assert.deepEqual(hints.map(hint => hint.version), Array.from({ length: version - 1 }, (_, i) => i + 2), `versions of ${task_id} grow by one`)
    for (const [i, { status, progress }] of hints.entries()) {
      const before = hints[i - 1]
      if (before) assert.equal(isFinished(before), false, 'no state follows a final one')
      if (status !== 'PENDING' && before) assert.ok(progress >= before.progress, 'progress never decreases within an attempt')
      assert.equal(progress === 100, status === 'COMPLETED', '100 is shown only with COMPLETED')
    }
  }
}
