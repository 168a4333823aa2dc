import { randomUUID } from 'node:crypto'
import { ChartQueueService, memoryStore, type ChartTask } from '../lib/index.ts'
import { seeded, type Random } from '../test/helpers/random.ts'

/** Steps of a chart: how long they typically take (ms), how much that varies, and the progress that is reported when they begin. */
const STEPS = [
  { step: 'data_extraction', median: 2_000, spread: 0.4, progress: 5 },
  { step: 'llm_generation', median: 15_000, spread: 0.6, progress: 15 },
  { step: 'schema_creation', median: 3_000, spread: 0.3, progress: 85 }
] as const
/** ms between two looks at everything that is unfinished. */
const LOOK = 1_000

export interface SimulationOptions {
  readonly seed: number
  readonly tasks: number
  readonly workers: number
  /** How a generator reports progress: when a step begins; every second as it is; every second, fast at first and slow at last. */
  readonly progress: 'steps' | 'true' | 'hasty'
}

/** How far off an estimate was on average, in seconds, over the same looks. */
export interface Errors {
  readonly looks: number
  readonly estimated: number
  /** What elapsed time over progress gives; null where nothing can be extrapolated. */
  readonly naive: number | null
}

interface Look { readonly task_id: string, readonly at: number, readonly running: boolean, readonly estimated: number | null, readonly naive: number | null }

/** Chance with the bell curve for its logarithm: durations of programs are skewed like that. */
function logNormal (random: Random, median: number, spread: number): number {
  const gauss = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  return Math.round(median * Math.exp(spread * gauss))
}

/** Elapsed time over progress: what there is without having learnt anything. */
function extrapolate (task: ChartTask, now: number): number | null {
  if (task.started_at === null || task.progress === 0) return null
  const begun = Date.parse(task.started_at)
  return begun + (now - begun) / task.progress * 100
}

/**
 * A queue whose time passes as fast as it can be computed: tasks come by chance, several workers make charts of which each step
 * takes its time by chance, and every second somebody asks when each chart will be there. The same seed, the same numbers.
 */
export async function simulate ({ seed, tasks, workers, progress: style }: SimulationOptions): Promise<{ running: Errors, waiting: Errors, unknown: number }> {
  const random = seeded(seed)
  let now = Date.parse('2030-01-01T00:00:00.000Z')
  const store = memoryStore({ now: () => now })
  // The queue does not change during a look, so one snapshot serves all tasks of it.
  let snapshotOfLook: ReturnType<typeof store.snapshot> | null = null
  const readSnapshot = store.snapshot.bind(store)
  store.snapshot = () => snapshotOfLook ?? readSnapshot()
  const service = new ChartQueueService({ store, leaseDuration: 86_400_000 })
  const typical = STEPS.reduce((sum, { median }) => sum + median, 0)
  const agenda: Array<{ at: number, run: () => Promise<void> }> = []
  const schedule = (after: number, run: () => Promise<void>) => {
    const at = now + after
    const place = agenda.findIndex(item => item.at > at)
    agenda.splice(place < 0 ? agenda.length : place, 0, { at, run })
  }
  const looks: Look[] = []
  const ends = new Map<string, number>()
  const unfinished = new Set<string>()
  let idle = workers

  async function take (): Promise<void> {
    if (idle === 0) return
    const taken = await service.dequeueChartTask()
    if (!taken) return
    idle--
    const { task: { task_id }, lease } = taken
    let begins = 0
    for (const [i, { step, median, spread, progress }] of STEPS.entries()) {
      const lasts = logNormal(random, median, spread)
      const next = STEPS[i + 1]?.progress ?? 100
      schedule(begins, async () => { await service.updateTaskProgress(task_id, lease, { step, progress }) })
      const reports = style === 'steps' ? 0 : Math.ceil(lasts / LOOK) - 1
      for (let passed = LOOK; passed <= reports * LOOK; passed += LOOK) {
        const done = (passed / lasts) ** (style === 'hasty' ? 0.5 : 1)
        schedule(begins + passed, async () => { await service.updateTaskProgress(task_id, lease, { step, progress: progress + (next - progress) * done }) })
      }
      begins += lasts
    }
    schedule(begins, async () => {
      await service.completeTask(task_id, lease, { content: {} })
      ends.set(task_id, now)
      unfinished.delete(task_id)
      idle++
      await take()
    })
  }

  async function look (): Promise<void> {
    snapshotOfLook = readSnapshot()
    for (const task_id of unfinished) {
      const task = (await service.getTaskStatus(task_id))!
      const { estimated_completion } = task
      looks.push({
        task_id,
        at: now,
        running: task.status === 'PROCESSING',
        estimated: estimated_completion === null ? null : Date.parse(estimated_completion),
        naive: extrapolate(task, now)
      })
    }
    snapshotOfLook = null
    if (ends.size < tasks) schedule(LOOK, look)
  }

  // They come a little faster than they can be worked: a queue forms, and goes.
  let comes = 0
  for (let i = 0; i < tasks; i++) {
    comes += Math.round(-Math.log(1 - random.next()) * typical * 1.3 / workers)
    schedule(comes, async () => {
      const { task } = await service.enqueueChartTask({ message_id: randomUUID() }, { user_id: 'ada' })
      unfinished.add(task.task_id)
      await take()
    })
  }
  schedule(LOOK, look)
  for (let item = agenda.shift(); item; item = agenda.shift()) {
    now = item.at
    await item.run()
  }
  await service.close()

  const error = (wanted: Look[], of: 'estimated' | 'naive') =>
    wanted.reduce((sum, look) => sum + Math.abs(look[of]! - ends.get(look.task_id)!), 0) / wanted.length / 1_000
  const running = looks.filter(look => look.running && look.estimated !== null && look.naive !== null)
  const waiting = looks.filter(look => !look.running && look.estimated !== null)
  return {
    running: { looks: running.length, estimated: error(running, 'estimated'), naive: error(running, 'naive') },
    waiting: { looks: waiting.length, estimated: error(waiting, 'estimated'), naive: null },
    unknown: looks.filter(look => look.estimated === null).length / looks.length
  }
}
