import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { consoleLogger } from '../../lib/worker/console-logger.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'

/** A line of the console: the message, and what came with it as JSON. */
function parse ([line, ...others]: unknown[]) {
  const [, message, details] = /^([^{]*?) ?(\{.*\})?$/.exec(String(line))!
  return { message, details: details === undefined ? null : JSON.parse(details), others }
}

t.test('a worker without a logger tells warnings and errors on the console, and nothing else', async t => {
  const warn = t.capture(console, 'warn')
  const error = t.capture(console, 'error')
  const quiet = (['log', 'info', 'debug'] as const).map(level => t.capture(console, level))
  const queue = await startQueue(t, 'memory', { retry: { attempts: 3 } })
  const ended = gate()
  const worker = await queue.work(async (_request, { log }) => {
    log.info({}, 'not of interest')
    throw new Error('no such table')
  }, {
    logger: undefined,
    onFinished: () => {
      ended.open()
      throw new Error('the host failed')
    }
  })
  const { task_id } = await queue.run()
  await ended.opened
  const err = { name: 'Error', message: 'no such table', stack: /console-logger/ }
  t.match(warn().map(({ args }) => parse(args)), [1, 2].map(attempt => ({ message: 'chart attempt failed, it will be retried', details: { task_id, attempt, err }, others: [] })))
  const errors: unknown[][] = []
  await until(() => errors.push(...error().map(({ args }) => args)) > 0 && errors.length > 1)
  t.match(errors.map(parse), [
    { message: 'chart failed', details: { task_id, status: 'FAILED', attempt: 3, code: 'CHARTS_ERR_GENERATION_FAILED', err } },
    { message: 'onFinished failed', details: { task_id, err: { message: 'the host failed', stack: /console-logger/ } } }
  ])
  await worker.stop()
  t.same(quiet.flatMap(calls => calls()), [])
})

/** The line that the console gets. */
function lineOf (t: { capture: typeof import('tap').capture }, details: object, message?: string): string {
  const calls = t.capture(console, 'error')
  consoleLogger({ task_id: 'a' }).error(details, message)
  const [call] = calls()
  calls.restore()
  return call!.args.length === 1 ? String(call!.args[0]) : `${call!.args.length} arguments`
}

t.test('what a generator says is one line, and no command to a terminal', async t => {
  const EVIL = '\u001b]0;owned\u0007\u001b[2J\u009b31m\r\nchart completed {"task_id":"forged"}\u2028\u202eabc\u0000\u007f%s%o'
  const error = Object.assign(new ChartGenerationError(EVIL, { cause: new Error(EVIL) }), { [EVIL]: EVIL, stack: `${EVIL}\n    at ${EVIL}` })
  for (const [details, message] of [[{ err: error }, EVIL], [{ [EVIL]: [EVIL, { reason: EVIL }] }], [error], [{ err: EVIL }], [new Map([[EVIL, EVIL]]), EVIL]] as Array<[object, string?]>) {
    const line = lineOf(t, details, message)
    t.notOk(/[^\P{C}]|[\p{Zl}\p{Zp}]/u.test(line), JSON.stringify(line))
    if (message !== undefined) t.match(line, '\\u001b]0;owned', 'it can still be read')
  }
  t.equal(lineOf(t, { ok: 'größer \ud83d\ude00' }, 'is 100 % fine'), 'is 100 % fine {"task_id":"a","ok":"größer \ud83d\ude00"}')
})

t.test('what a generator says is cut, and what cannot be read costs nothing but itself', async t => {
  const long = 'x'.repeat(1_000_000)
  const deep: unknown[] = []
  for (let i = 0, at = deep; i < 100_000; i++) at.push(at = [])
  const broken = Object.defineProperty(new Error('secret'), 'message', { get () { throw new Error('no message for you') } })
  const chain = (length: number): Error => new Error(long, length > 0 ? { cause: chain(length - 1) } : {})
  for (const details of [{ err: new Error(long) }, { err: chain(20) }, { [long]: long }, { deep }, { err: long }, { rows: Array(1_000).fill(long) }]) {
    const line = lineOf(t, details, long)
    t.ok(line.length < 17_000, `${line.length} characters`)
  }
  t.match(lineOf(t, { err: new Error(long) }, 'failed'), /^failed \{"task_id":"a","err":\{"name":"Error","message":"x{2048}… \(1000000 characters\)","stack":"Error: x{2048}… .*console-logger/)
  t.match(lineOf(t, { err: broken, cycle: deep }, 'failed'), /^failed .*cannot be read/)
  const cycle: Record<string, unknown> = { n: 1n }
  cycle['self'] = cycle
  t.match(lineOf(t, { cycle }, 'failed'), /^failed \{"task_id":"a","cycle":\{"n":"1","self":/)
})
