import t from 'tap'
import { type ProgressUpdate, type ChartTask } from '../../lib/index.ts'
import { gate } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

const throwing = { get step () { throw new Error('trap') } } as unknown as ProgressUpdate
const proxy = new Proxy({}, { get () { throw new Error('trap') } }) as ProgressUpdate
const GARBAGE = [
  null, undefined, 7, 'half', true, Symbol('x'), [], () => {}, throwing, proxy,
  { progress: NaN }, { progress: '90' }, { progress: null }, { progress: {} }, { progress: 90n }, { step: 5 }, { step: '' }, { step: null },
  { step_progress: 50 }, { step: 'named', step_progress: NaN }, { step: 'named', step_progress: 'half' }, { step: Symbol('step') }
] as ProgressUpdate[]

for (const kind of stores) {
  t.test(`progress never throws, and what is no number changes nothing, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const thrown: unknown[] = []
    await queue.work(async (_request, { progress }) => {
      for (const update of GARBAGE) {
        try {
          progress(update)
        } catch (error) {
          thrown.push(error)
        }
      }
      try { (progress as () => void)() } catch (error) { thrown.push(error) }
      return 'chart'
    })
    const task = await queue.run()
    t.same(thrown, [])
    t.match(task, { status: 'COMPLETED', attempt: 1, progress: 100 })
    t.same(task.step_progress, {})
  })

  t.test(`values are clamped, the overall figure never falls, 100 comes with COMPLETED, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const updates: Array<[ProgressUpdate, Partial<ChartTask>]> = [
      [{ progress: -5, step: 'a' }, { progress: 0, current_step: 'a' }],
      [{ progress: 41.9, step_progress: 50, step: 'b' }, { progress: 41, step_progress: { b: 50 } }],
      [{ progress: 30, step_progress: 150, step: 'c' }, { progress: 41, step_progress: { b: 50, c: 100 } }],
      [{ progress: Infinity, step: 'b', step_progress: -Infinity }, { progress: 99, step_progress: { b: 0, c: 100 } }],
      [{ progress: 100, step: 'd' }, { progress: 99, current_step: 'd' }],
      [{ step: 's'.repeat(10_000), step_progress: 1 }, { current_step: 's'.repeat(64) }]
    ]
    const asked = updates.map(() => gate())
    const done = gate()
    await queue.work(async (_request, { progress }) => {
      for (const [i, [update]] of updates.entries()) {
        await asked[i]!.opened
        progress(update)
      }
      await done.opened
      return 'chart'
    })
    const { task_id } = await queue.enqueue()
    const seen: ChartTask[] = []
    const watching = (async () => { for await (const task of queue.service.watchTask(task_id)) seen.push(task) })()
    for (const [i, [, expected]] of updates.entries()) {
      asked[i]!.open()
      const task = await queue.state(task_id, ({ current_step }) => current_step === (expected.current_step ?? updates[i]![0].step))
      t.match(task, expected)
    }
    done.open()
    await watching
    const figures = seen.map(({ progress }) => progress)
    t.same(figures, [...figures].sort((a, b) => a - b), `only rises: ${figures}`)
    t.same(seen.filter(({ progress }) => progress === 100).map(({ status }) => status), ['COMPLETED'])
  })

  t.test(`ten thousand reports in a loop cost a handful of commands, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, calls } = spyOnStore(queue)
    await queue.work(async (_request, { progress }) => {
      for (let i = 0; i < 10_000; i++) progress({ step: i < 5_000 ? 'first' : 'second', step_progress: i / 100, progress: i / 100 })
      await reported.opened
      return 'chart'
    }, { store })
    const reported = gate()
    const { task_id } = await queue.enqueue()
    const last = await queue.state(task_id, ({ progress }) => progress === 99)
    t.match(last, { current_step: 'second', step_progress: { first: 49, second: 99 } }, 'the last state arrives')
    reported.open()
    t.match(await queue.ended(task_id), { status: 'COMPLETED', step_progress: { first: 49, second: 99 } })
    t.ok(calls('progress') <= 5, `${calls('progress')} commands`)
  })

  t.test(`of ten thousand steps of one attempt the first 64 are shown, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    await queue.work(async (_request, { progress }) => {
      for (let i = 0; i < 10_000; i++) progress({ step: `step ${i}`, step_progress: 50 })
      progress({ step: 'step 1', step_progress: 60 })
      return 'chart'
    })
    const task = await queue.run()
    t.equal(Object.keys(task.step_progress).length, 64)
    t.match(task.step_progress, { 'step 0': 50, 'step 1': 60, 'step 63': 50 })
  })

  t.test(`the last steps are in the finished task, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    await queue.work(async (_request, { progress }) => {
      progress({ step: 'data_extraction', step_progress: 100, progress: 40 })
      progress({ step: 'rendering', step_progress: 100, progress: 95 })
      return 'chart'
    })
    for (let i = 0; i < 20; i++) {
      t.match(await queue.run(), { status: 'COMPLETED', step_progress: { data_extraction: 100, rendering: 100 } })
    }
  })

  t.test(`steps may have any name, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty', '0', 'ä"\n', ' ']
    await queue.work(async (_request, { progress }) => {
      for (const step of names) progress({ step, step_progress: 7 })
      return 'chart'
    })
    const { step_progress } = await queue.run()
    t.same(Object.keys(step_progress).sort(), [...names].sort())
    t.ok(Object.values(step_progress).every(percent => percent === 7))
  })

  t.test(`a new attempt starts at nothing and keeps when the first one started, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 2 } })
    const go = [gate(), gate()]
    await queue.work(async (_request, { progress, attempt }) => {
      progress({ step: `try ${attempt}`, step_progress: 50, progress: attempt === 1 ? 80 : 10 })
      await go[attempt - 1]!.opened
      if (attempt === 1) throw new Error('again')
      return 'chart'
    })
    const { task_id } = await queue.enqueue()
    const first = await queue.state(task_id, ({ progress }) => progress === 80)
    go[0]!.open()
    const second = await queue.state(task_id, ({ attempt, progress }) => attempt === 2 && progress === 10)
    t.same(second.step_progress, { 'try 2': 50 })
    t.equal(second.started_at, first.started_at)
    go[1]!.open()
    t.match(await queue.ended(task_id), { status: 'COMPLETED' })
  })
}
