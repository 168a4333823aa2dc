import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { StoredTask } from '../../task.ts'
import type { HintListener, TaskState, TaskStore } from '../task-store.ts'
import { cases, completion, LEASE, type Scene } from './scene.ts'

/** ms after which something that should have come has not. */
const DEADLINE = 5_000

/** Remembers what it hears. The port lets hints come twice: a repetition is left out. */
class Ears implements HintListener {
  readonly heard: Array<{ task_id: string, state: TaskState }> = []
  readonly cancels: string[] = []
  readonly additions = new Map<string, string>()
  readonly off: () => void
  #up = false
  #notify: () => void = () => {}

  constructor (store: TaskStore) {
    this.off = store.listen(this)
  }

  hint (task_id: string, state: TaskState): void {
    const before = this.heard.find(heard => heard.task_id === task_id && heard.state.version === state.version)
    if (before) assert.deepEqual(state, before.state, 'a hint that comes twice says the same')
    else this.heard.push({ task_id, state })
    this.#notify()
  }

  cancelled (task_id: string): void {
    if (!this.cancels.includes(task_id)) this.cancels.push(task_id)
    this.#notify()
  }

  added (message_id: string, user_id: string): void {
    this.additions.set(message_id, user_id)
    this.#notify()
  }

  feed (up: boolean): void {
    this.#up = up
    this.#notify()
  }

  async until (what: string, met: () => boolean): Promise<void> {
    const overdue = AbortSignal.timeout(DEADLINE)
    while (!met()) {
      assert.ok(!overdue.aborted, `${what} has not come`)
      await new Promise<void>(resolve => {
        this.#notify = resolve
        overdue.addEventListener('abort', () => resolve())
      })
    }
  }

  up (): Promise<void> {
    return this.until('feed(true)', () => this.#up)
  }

  hears (task_id: string, version: number): Promise<void> {
    return this.until(`the hint of version ${version}`, () => this.heard.some(({ task_id: id, state }) => id === task_id && state.version === version))
  }
}

const stateOf = ({
  version, status, progress, current_step, step_progress, step_at, step_from, progress_at, queue_position, attempt, started_at, completed_at, chart_id, error_code,
  error_message
}: TaskState): TaskState => ({
  version,
  status,
  progress,
  current_step,
  step_progress,
  step_at,
  step_from,
  progress_at,
  queue_position,
  attempt,
  started_at,
  completed_at,
  chart_id,
  error_code,
  error_message
})

async function listening (scene: Scene, task_id: string): Promise<Ears> {
  const ears = new Ears(scene.store)
  await ears.up()
  assert.equal(await scene.store.subscribe(task_id), true, 'hints are sure to arrive')
  return ears
}

async function soon<T> (what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController()
  try {
    const first = await Promise.race([promise, delay(DEADLINE, timer, { signal: timer.signal })])
    assert.ok(first !== timer, `${what} takes too long`)
    return first as T
  } finally {
    timer.abort()
  }
}

export const hints = cases('hints', {
  'every change is announced, with its version and state': async scene => {
    const task_id = randomUUID()
    const ears = await listening(scene, task_id)
    const states: StoredTask[] = []
    const changed = async () => { states.push(await scene.read(task_id)) }

    await scene.enqueue({ task_id, attempts: 2 })
    const first = await scene.claimOne()
    await changed()
    await scene.store.progress([{ task_id, lease: 1, progress: 40, step: 'rendering', step_progress: { rendering: 10, '"': 0 } }])
    await changed()
    await scene.release(first)
    await changed()
    const second = await scene.claimOne()
    await changed()
    await scene.fail(second, { delay: 0 })
    await changed()
    const third = await scene.claimOne()
    await changed()
    await scene.settle(completion(third))
    await changed()

    await ears.hears(task_id, states.at(-1)!.version)
    // A place in the queue is worked out when it is asked for.
    assert.deepEqual(ears.heard.map(({ state }) => stateOf(state)), states.map(state => ({ ...stateOf(state), queue_position: null })))
    assert.deepEqual(ears.cancels, [])
  },

  'failures are announced with what is shown of them': async scene => {
    const tasks = [randomUUID(), randomUUID(), randomUUID()] as const
    const ears = await listening(scene, tasks[0])
    for (const task_id of tasks.slice(1)) assert.equal(await scene.store.subscribe(task_id), true)
    const failures = [{ code: 'NO_DATA', message: 'No “rows”' }, { code: 'CHARTS_ERR_INVALID_CHART', message: null }]
    for (const [i, failure] of failures.entries()) await scene.fail(await scene.claimed({ task_id: tasks[i]! }), { ...failure, delay: 'never' })
    await scene.claimed({ task_id: tasks[2], attempts: 1 })
    scene.pass(LEASE)
    await scene.claim()
    for (const task_id of tasks) {
      await ears.hears(task_id, 3)
      const announced = ears.heard.filter(heard => heard.task_id === task_id).at(-1)!
      assert.deepEqual(stateOf(announced.state), stateOf(await scene.read(task_id)))
    }
  },

  'what changes nothing is not announced': async scene => {
    const task_id = randomUUID()
    const ears = await listening(scene, task_id)
    const { lease } = await scene.claimed({ task_id })
    const report = { task_id, lease, progress: 40, step: null, step_progress: {} }
    await scene.store.progress([report])
    await scene.store.progress([report])
    await scene.store.extend([{ task_id, lease }], LEASE)
    await scene.store.progress([{ ...report, progress: 50 }])
    await ears.hears(task_id, 4)
    assert.deepEqual(ears.heard.map(({ state }) => state.version), [2, 3, 4])
  },

  'what is added to a message is announced': async scene => {
    const ears = new Ears(scene.store)
    await ears.up()
    const message_id = randomUUID()
    assert.equal(await scene.store.subscribeMessage(message_id, 'ada:b'), true)
    await scene.enqueue({ message_id, user_id: 'ada:b' })
    await ears.until('the addition', () => ears.additions.size > 0)
    assert.deepEqual([...ears.additions], [[message_id, 'ada:b']])
  },

  'a cancel is announced to the worker of a running task': async scene => {
    const ears = new Ears(scene.store)
    await ears.up()
    const { task: { task_id } } = await scene.claimed()
    await scene.store.cancel(task_id)
    await ears.until('the cancel', () => ears.cancels.includes(task_id))
    assert.deepEqual(ears.cancels, [task_id])
  },

  'a cancel is announced to the watchers': async scene => {
    const task_id = randomUUID()
    const ears = await listening(scene, task_id)
    await scene.enqueue({ task_id })
    await scene.store.cancel(task_id)
    await ears.hears(task_id, 2)
    assert.equal(ears.heard.at(-1)?.state.status, 'CANCELLED')
  },

  'who listens no longer hears no more': async scene => {
    const task_id = randomUUID()
    const ears = await listening(scene, task_id)
    await scene.enqueue({ task_id })
    const claimed = await scene.claimOne()
    await ears.hears(task_id, 2)
    ears.off()
    await scene.store.cancel(claimed.task.task_id)
    const next = await listening(scene, task_id)
    await scene.enqueue({ task_id: randomUUID() })
    next.off()
    assert.deepEqual(ears.heard.map(({ state }) => state.version), [2])
    assert.deepEqual(ears.cancels, [])
  },

  'health says whether the store answers and hints arrive': async scene => {
    const ears = new Ears(scene.store)
    await scene.store.ready(DEADLINE)
    await ears.up()
    assert.deepEqual(await scene.store.checkHealth(), { store: true, feed: true, writable: true })
  }
})

export const waiting = cases('waiting for work', {
  'ends when a task is enqueued': async scene => {
    const waited = scene.store.waitForWork(60_000, new AbortController().signal)
    await scene.enqueue()
    await soon('waking up', waited)
  },

  'ends at once where work came before': async scene => {
    await scene.enqueue()
    await soon('waking up', scene.store.waitForWork(60_000, new AbortController().signal))
  },

  'ends when a task goes back to waiting': async scene => {
    const claimed = await scene.claimed()
    await soon('waking up', scene.store.waitForWork(60_000, new AbortController().signal))
    const waited = scene.store.waitForWork(60_000, new AbortController().signal)
    await scene.release(claimed)
    await soon('waking up', waited)
  },

  'ends again where the one who woke has left work over': async scene => {
    await scene.enqueueMany(3)
    for (let i = 0; i < 3; i++) {
      await soon('waking up', scene.store.waitForWork(60_000, new AbortController().signal))
      await scene.claimOne()
    }
  },

  'ends when it is aborted, and may begin again': async scene => {
    for (let i = 0; i < 2; i++) {
      const abort = new AbortController()
      const waited = scene.store.waitForWork(60_000, abort.signal)
      await delay(20)
      abort.abort()
      await soon('giving up', waited)
    }
    await soon('giving up', scene.store.waitForWork(60_000, AbortSignal.abort()))
    const waited = scene.store.waitForWork(60_000, new AbortController().signal)
    await scene.enqueue()
    await soon('waking up', waited)
  },

  'ends after its time, and not before': async scene => {
    const begin = performance.now()
    await soon('giving up', scene.store.waitForWork(200, new AbortController().signal))
    assert.ok(performance.now() - begin > 150, 'nothing has woken it')
  }
})
