import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { ChartGenerationError, type GenerateContext, type JsonValue } from '../../lib/index.ts'
import { gate, inTime } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisUrl } from '../helpers/redis.ts'
import { spyOnStore } from '../helpers/spy-store.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

const LEASE = 1_500

function cycle (): JsonValue {
  const ring: Record<string, unknown> = {}
  ring['self'] = ring
  return ring as JsonValue
}

for (const kind of stores) {
  t.test(`a step is stored across attempts, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const runs: string[] = []
    const values: JsonValue = { text: 'ü', list: [1, null, { deep: true }], nothing: null }
    await queue.work(async (_request, { attempt, step }) => {
      const plan = await step('plan', async () => { runs.push(`plan ${attempt}`); return values })
      t.strictSame(plan, values, `try ${attempt}`)
      t.equal(await step('nothing', () => { runs.push(`nothing ${attempt}`) }), undefined)
      if (attempt === 1) throw new Error('broken')
      const rows = await step('rows', () => { runs.push(`rows ${attempt}`); return 7 })
      if (attempt === 2) throw new Error('broken again')
      return { plan, rows }
    })
    const task = await queue.run()
    t.match(task, { status: 'COMPLETED', attempt: 3 })
    t.strictSame(runs, ['plan 1', 'nothing 1', 'rows 2'], 'each has run once in all')
    t.strictSame(await queue.content(task), { plan: values, rows: 7 })
    t.match(task.step_progress, { plan: 100, nothing: 100, rows: 100 }, 'remembered ones are shown as done')
    if (queue.redis) t.strictSame(await queue.redis.keys(`{${queue.keyPrefix}}:2:checkpoints:*`), [], 'gone with the task')
  })

  t.test(`a step reports progress, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const go = gate()
    await queue.work(async (_request, { step }) => step('plan', () => go.opened.then(() => 1)))
    const { task_id } = await queue.enqueue()
    t.match(await queue.state(task_id, task => task.current_step === 'plan'), { step_progress: { plan: 0 } })
    go.open()
    t.match((await queue.ended(task_id)).step_progress, { plan: 100 })
  })

  t.test(`concurrent calls of one name run once, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    let runs = 0
    await queue.work(async (_request, { step }) => {
      const slow = () => delay(20).then(() => ++runs)
      const values = await Promise.all([step('a', slow), step('a', slow), step('b', slow), step('a', slow)])
      return [...values, await step('a', slow)]
    })
    const content = await queue.content(await queue.run()) as number[]
    t.equal(runs, 2)
    t.equal(new Set([content[0], content[1], content[3], content[4]]).size, 1)
  })

  t.test(`a step that fails may be tried again, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const runs: string[] = []
    await queue.work(async (_request, { attempt, step }) => {
      const moody = async () => {
        runs.push(`${attempt}`)
        if (runs.length < 3) throw new Error('not now')
        return 'now'
      }
      await t.rejects(attempt === 1 ? step('moody', moody) : Promise.reject(new Error('x')), 'its error is the caller\'s')
      return step('moody', moody)
    })
    const task = await queue.run()
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    t.strictSame(runs, ['1', '1', '2'], 'within a try, and in the next')
    t.equal(await queue.content(task), 'now')
  })

  t.test(`what cannot be stored fails the task at once, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { limits: { checkpointBytes: 200 } })
    const returned: Record<string, [unknown, string]> = {
      'a cycle': [cycle(), 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'a BigInt': [1n, 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'too deep': [JSON.parse('['.repeat(501) + ']'.repeat(501)), 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'a function': [() => {}, 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'a symbol': [Symbol('x'), 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'a toJSON that throws': [{ toJSON () { throw new Error('secret') } }, 'CHARTS_ERR_INVALID_CHECKPOINT'],
      'too much': ['x'.repeat(200), 'CHARTS_ERR_CHECKPOINT_TOO_LARGE'],
      'too much in bytes only': ['ü'.repeat(100), 'CHARTS_ERR_CHECKPOINT_TOO_LARGE']
    }
    let calls = 0
    await queue.work(async ({ adjustment_query: what }, { step }) => {
      calls++
      await step('small', () => 'x'.repeat(20))
      return step('plan', () => returned[what!]![0] as JsonValue)
    })
    for (const [what, [, error_code]] of Object.entries(returned)) {
      calls = 0
      const task = await queue.run({ adjustment_query: what })
      t.match(task, { status: 'FAILED', error_code, attempt: 1 }, what)
      t.notMatch(task.error_message, /secret/)
      t.equal(calls, 1, `${what}: not retried`)
    }
  })

  t.test(`a step needs a name, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    let runs = 0
    await queue.work(async (_request, { step }) => {
      for (const name of ['', 'x'.repeat(65), undefined, 1, null]) await t.rejects(step(name as string, () => ++runs), TypeError)
      return step('x'.repeat(64), () => 'named')
    })
    t.equal(await queue.content(await queue.run()), 'named')
    t.equal(runs, 0)
  })

  t.test(`a step of a stale lease aborts the attempt, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const codes: string[] = []
    const runs: number[] = []
    const go = gate()
    const started = gate<string>()
    await queue.work(async ({ task_id }, { attempt, signal, step }) => {
      if (attempt > 1) return step('plan', () => { runs.push(attempt); return 'second' })
      signal.addEventListener('abort', () => codes.push((signal.reason as { code: string }).code))
      started.open(task_id)
      await go.opened
      return step('plan', () => { runs.push(attempt); return 'first' })
    }, { leaseDuration: 30_000 })
    const { task_id } = await queue.enqueue()
    await started.opened
    // Released without the worker's knowledge, and claimed again.
    await queue.service.completeTask(task_id, 1, { error: new Error('elsewhere') })
    go.open()
    const task = await queue.ended(task_id)
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    t.equal(await queue.content(task), 'second')
    t.strictSame(codes, ['LEASE_LOST'])
    t.ok(runs.includes(2), 'what the first one made was not remembered')
  })

  t.test(`a store that does not answer costs the memory, not the chart, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose } = spyOnStore(queue)
    const logger = recordingLogger()
    await queue.work(async (_request, { step }) => {
      lose('request', 'checkpoint')
      return step('plan', () => 'made')
    }, { store, logger })
    const task = await queue.run()
    t.match(task, { status: 'COMPLETED', attempt: 1 })
    t.equal(await queue.content(task), 'made')
    t.equal(logger.said('the result of a step could not be stored: another attempt would run the step again').length, 1)
  })

  t.test(`a drain hands what was reached to the next worker, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const runs: string[] = []
    const reached = gate()
    const generate = (who: string) => async (_request: unknown, { attempt, signal, step }: GenerateContext) => {
      const plan = await step('plan', () => { runs.push(who); return who })
      if (who === 'first') {
        reached.open()
        await delay(60_000, undefined, { signal })
      }
      return { plan, who, attempt }
    }
    const first = await queue.work(generate('first'))
    const { task_id } = await queue.enqueue()
    await reached.opened
    await first.stop()
    await queue.work(generate('second'))
    const task = await queue.ended(task_id)
    t.strictSame(await queue.content(task), { plan: 'first', who: 'second', attempt: 1 }, 'and costs no attempt')
    t.strictSame(runs, ['first'])
  })

  t.test(`no step is stored of a task that was cancelled or failed, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const message_id = crypto.randomUUID()
    let runs = 0
    await queue.work(async (_request, { step }) => {
      await step('plan', () => ++runs)
      if (runs === 1) throw new ChartGenerationError('No rows')
      return runs
    })
    t.equal((await queue.run({ message_id })).status, 'FAILED')
    t.equal(await queue.content(await queue.run({ message_id })), 2, 'asked for again, it runs again')
  })
}

t.test('a step is stored when its process is killed', async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE }
  const victim = await startWorkerProcess(t, options)
  const { task_id } = await queue.enqueue({ adjustment_query: 'step' })
  t.equal((await victim.next('remembered')).paid, 1)
  await victim.kill()
  const heir = await startWorkerProcess(t, options)
  t.equal((await inTime(heir.next('remembered'), LEASE + 3_000, 'it goes on')).paid, 1, 'what the first attempt has paid for')
  heir.send({ command: 'finish', task_id })
  t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 2, step_progress: { paid: 100 } })
  t.strictSame([...victim.all('paid'), ...heir.all('paid')].map(({ attempt }) => attempt), [1], 'it ran once in all')
})
