import { randomUUID } from 'node:crypto'
import type { HintListener, TaskState, TaskStore } from '../../lib/store/task-store.ts'
import type { StoredTask } from '../../lib/task.ts'

export function someTask (fields: Partial<StoredTask> = {}): StoredTask {
  return {
    task_id: randomUUID(),
    message_id: randomUUID(),
    chart_id: null,
    status: 'PROCESSING',
    progress: 0,
    current_step: 'started',
    step_progress: {},
    error_message: null,
    error_code: null,
    created_at: '2030-01-01T00:00:00.000Z',
    started_at: '2030-01-01T00:00:00.000Z',
    completed_at: null,
    estimated_completion: null,
    queue_position: null,
    visibility: 'PRIVATE',
    adjustment_query: null,
    attempt: 1,
    max_attempts: 3,
    retry_of: null,
    version: 1,
    user_id: 'ada',
    org_id: null,
    step_at: Date.parse('2030-01-01T00:00:00.000Z'),
    depends_on: [],
    step_from: 0,
    progress_at: Date.parse('2030-01-01T00:00:00.000Z'),
    ...fields
  }
}

/** The part of a store that a feed needs; a test says what is stored, what is announced, and when a read is answered. */
export class ScriptedStore {
  readonly calls: string[] = []
  readonly subscribed = new Set<string>()
  readonly #tasks = new Map<string, StoredTask>()
  #listener: HintListener | null = null
  #held: Promise<void> | null = null
  #failure: Error | null = null
  #called: () => void = () => {}

  /** As the port. */
  get port (): TaskStore {
    return this as unknown as TaskStore
  }

  get listening (): boolean {
    return this.#listener !== null
  }

  /** What a read finds from now on; nothing is announced. */
  keep (task: StoredTask): StoredTask {
    this.#tasks.set(task.task_id, task)
    return task
  }

  forget (task_id: string): void {
    this.#tasks.delete(task_id)
  }

  announce (task: StoredTask): void {
    const {
      version, status, progress, current_step, step_progress, step_at, step_from, progress_at, queue_position, attempt, started_at, completed_at, chart_id, error_code, error_message
    } = task
    const state: TaskState = {
      version, status, progress, current_step, step_progress, step_at, step_from, progress_at, queue_position, attempt, started_at, completed_at, chart_id, error_code, error_message
    }
    this.#listener?.hint(task.task_id, state)
  }

  up (up: boolean): void {
    this.#listener?.feed(up)
  }

  cancelled (task_id: string): void {
    this.#listener?.cancelled(task_id)
  }

  /** Reads find what is stored when they are sent, but are answered only once the returned function is called. */
  hold (): () => void {
    let release!: () => void
    this.#held = new Promise(resolve => { release = resolve })
    return () => {
      this.#held = null
      release()
    }
  }

  fail (failure: Error | null): void {
    this.#failure = failure
  }

  /** Resolves once this verb is called the next time. */
  async next (verb: string): Promise<void> {
    const before = this.count(verb)
    while (this.count(verb) === before) await new Promise<void>(resolve => { this.#called = resolve })
  }

  count (verb: string): number {
    return this.calls.filter(call => call === verb).length
  }

  async subscribe (task_id: string): Promise<boolean> {
    this.#call('subscribe')
    this.subscribed.add(task_id)
    return true
  }

  unsubscribe (task_id: string): void {
    this.#call('unsubscribe')
    this.subscribed.delete(task_id)
  }

  async read (task_ids: readonly string[]): Promise<Array<StoredTask | null>> {
    const found = task_ids.map(task_id => this.#tasks.get(task_id) ?? null)
    const failure = this.#failure
    this.#call('read')
    await this.#held
    if (failure) throw failure
    return found
  }

  listen (listener: HintListener): () => void {
    this.#listener = listener
    return () => { this.#listener = null }
  }

  #call (verb: string): void {
    this.calls.push(verb)
    this.#called()
  }
}
