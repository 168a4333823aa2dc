import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { metrics } from '@opentelemetry/api'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { Redis } from 'ioredis'
import { OpenAI } from 'openai'
import t from 'tap'
import { drawBars } from '../../examples/llm/draw-bars.ts'
import { chartGenerator, type LlmOptions, type Row } from '../../examples/llm/generate-chart.ts'
import { tokenMetrics } from '../../examples/llm/token-metrics.ts'
import { ChartQueueService, type ChartTask } from '../../lib/index.ts'
import { gate } from '../helpers/gate.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { startQueue, type QueueOptions } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { root } from '../helpers/root.ts'

interface Test {
  readonly name: string
  teardown (ended: () => unknown): unknown
}

interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly body: { model: string, stream: boolean, messages: Array<{ role: string, content: string }>, response_format: { type: string } }
}

type Reply = (response: ServerResponse, request: IncomingMessage) => unknown

const rows: Row[] = [{ day: 'Mon', apples: 3 }, { day: 'Tue', apples: 7 }]
const good = JSON.stringify({ title: 'Apples by day', x: 'day', y: 'apples' })

const send = (response: ServerResponse, event: object | '[DONE]') => response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`)
const open = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' })
const delta = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })

/** An answer as it is streamed, a few characters at a time; what it has cost comes last. */
const says = (text: string, finish_reason = 'stop'): Reply => response => {
  open(response)
  for (const piece of text.match(/[^]{1,9}/g) ?? []) send(response, delta(piece))
  send(response, { choices: [{ index: 0, delta: {}, finish_reason }] })
  send(response, { choices: [], usage: { prompt_tokens: 40, completion_tokens: 12, total_tokens: 52 } })
  send(response, '[DONE]')
  response.end()
}

const refuses = (status: number, error: object = {}, headers: Record<string, string> = {}): Reply => response =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error: { message: 'no', ...error } }))

/** A provider of models that gives these replies, one after the other. */
async function startProvider (t: Test, ...replies: Reply[]) {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    asked.push({ headers: request.headers, body: JSON.parse(body) })
    const reply = replies.shift() ?? refuses(500, { message: 'not expected' })
    reply(response, request)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return { asked, baseURL, client: new OpenAI({ baseURL, apiKey: 'secret' }) }
}

/** A queue whose worker asks a provider that gives these replies. */
async function startLlm (t: Test, replies: Reply[], options: Partial<LlmOptions> = {}, queueOptions: QueueOptions = {}) {
  const provider = await startProvider(t, ...replies)
  const queue = await startQueue(t, 'memory', queueOptions)
  const logger = recordingLogger()
  const generate = chartGenerator({ client: provider.client, model: 'small', rowsOf: async () => rows, draw: drawBars, ...options })
  await queue.work(generate, { logger })
  return { ...provider, queue, logger }
}

t.test('the guide shows the files as they are', async t => {
  const shown = snippetsOf(readPage('docs/guides/llm.md')).filter(({ name }) => name?.startsWith('examples/'))
  t.same(shown.map(({ name }) => name).sort(), ['examples/llm/ask-model.ts', 'examples/llm/generate-chart.ts', 'examples/llm/token-metrics.ts'])
  for (const { name, source } of shown) t.equal(source, `// ${name}\n${readFileSync(new URL(name!, root), 'utf8')}`, name!)
})

t.test('a chart: what is asked, how its progress moves with the answer, what it has cost', async t => {
  const half = gate()
  const { queue, asked, logger } = await startLlm(t, [async response => {
    open(response)
    send(response, delta(good.slice(0, 30)))
    await half.opened
    says(good.slice(30))({ writeHead () {}, write: (text: string) => response.write(text), end: () => response.end() } as unknown as ServerResponse, null as never)
  }])
  const { task_id } = await queue.enqueue({ adjustment_query: 'apples by day' })
  const asking = await queue.state(task_id, ({ step_progress }) => step_progress['llm_generation']! > 0)
  t.equal(asking.status, 'PROCESSING')
  t.ok(asking.step_progress['llm_generation']! < 100)
  half.open()
  const task = await queue.ended(task_id)
  t.match(await queue.content(task), { title: 'Apples by day', svg: /^<svg.*<title>Tue: 7<\/title>/ })
  t.equal(asked.length, 1)
  t.match(asked[0], {
    headers: { authorization: 'Bearer secret', 'idempotency-key': `${task_id}:llm_generation` },
    body: { model: 'small', stream: true, response_format: { type: 'json_schema' } }
  })
  t.match(asked[0]!.body.messages.map(({ content }) => content), [/day, apples/, 'apples by day'])
  t.match(logger.said('model answered'), [{ level: 'info', details: { task_id, model: 'small', input_tokens: 40, output_tokens: 12 } }])
})

t.test('what was paid for is not paid for again: the next attempt begins with the drawing', async t => {
  let drawn = 0
  const { queue, asked } = await startLlm(t, [says(good)], {
    draw (plan, rows) {
      if (++drawn === 1) throw new Error('the renderer broke')
      return drawBars(plan, rows)
    }
  })
  t.match(await queue.run(), { status: 'COMPLETED', attempt: 2 })
  t.equal(asked.length, 1)
})

t.test('429: the task waits as long as the provider says, and no worker with it', async t => {
  const { queue, asked } = await startLlm(t, [refuses(429, { code: 'rate_limit_exceeded' }, { 'retry-after': '600' })])
  const { task_id } = await queue.enqueue()
  t.match(await queue.state(task_id, ({ current_step }) => current_step === 'retrying'), { status: 'PENDING', attempt: 1 })
  t.match(await queue.service.getQueueStats(), { processing_count: 0, delayed_count: 1 })
  t.equal(asked.length, 1, 'the library has not repeated by itself')
})

/** What a generator rejects with, called by hand. */
async function faultOf (t: Test, reply: Reply, { signal = new AbortController().signal, ...options }: Partial<LlmOptions> & { signal?: AbortSignal } = {}) {
  const { client } = await startProvider(t, reply)
  const generate = chartGenerator({ client, model: 'small', rowsOf: async () => rows, draw: drawBars, ...options })
  const request = { task_id: 'a', message_id: 'b', adjustment_query: null }
  const context = { signal, step: (_name: string, fn: () => unknown) => fn(), progress () {}, log: recordingLogger() }
  return generate(request as never, context as never).then(() => null, error => error)
}

t.test('each way in which a provider refuses, in words for the user, and whether another attempt is worth it', async t => {
  const cases: Array<[name: string, reply: Reply, error: object]> = [
    ['busy, in seconds', refuses(429, {}, { 'retry-after': '7' }), { code: 'MODEL_BUSY', retryable: true, retryDelay: 7_000 }],
    ['busy, nobody knows how long', refuses(429), { code: 'MODEL_BUSY', retryable: true, retryDelay: undefined }],
    ['no quota', refuses(429, { code: 'insufficient_quota' }), { code: 'MODEL_REJECTED', retryable: false }],
    ['a wrong key', refuses(401), { code: 'MODEL_REJECTED', retryable: false, message: 'Charts cannot be made at the moment' }],
    ['no such model', refuses(404), { code: 'MODEL_REJECTED', retryable: false }],
    ['overloaded', refuses(503), { name: 'Error', status: 503 }],
    ['gone', response => response.socket!.destroy(), { message: 'Connection error.' }],
    ['cut off', response => { open(response); send(response, delta(good)); response.end() }, { message: 'the answer was cut off' }],
    ['too long', says(good.slice(0, 20), 'length'), { code: 'MODEL_ANSWER_TOO_LONG', retryable: false }],
    ['filtered', says('', 'content_filter'), { code: 'MODEL_REFUSED', retryable: false }]
  ]
  for (const [name, reply, error] of cases) t.match(await faultOf(t, reply), error, name)
  const inOneMinute = new Date(Date.now() + 60_000).toUTCString()
  const { retryDelay } = await faultOf(t, refuses(429, {}, { 'retry-after': inOneMinute }))
  t.ok(retryDelay > 0 && retryDelay <= 60_000, `a date: ${retryDelay} ms`)
})

t.test('an answer that does not come, or stops in the middle, is given up', async t => {
  const silent: Reply = () => {}
  const stalling: Reply = response => { open(response); send(response, delta(good.slice(0, 10))) }
  for (const reply of [silent, stalling]) {
    t.match(await faultOf(t, reply, { timeout: 100 }), { code: 'MODEL_TIMEOUT', retryable: true })
  }
})

t.test('a cancel closes the connection to the provider', async t => {
  const hungUp = gate()
  const { queue, logger } = await startLlm(t, [(response, request) => {
    open(response)
    send(response, delta(good.slice(0, 10)))
    request.socket.once('close', () => hungUp.open())
  }])
  const { task_id } = await queue.enqueue()
  await queue.state(task_id, ({ step_progress }) => step_progress['llm_generation']! > 0)
  t.match(await queue.service.cancelTask(task_id), { status: 'CANCELLED' })
  await hungUp.opened
  t.same(logger.lines.filter(({ level }) => level === 'error'), [], 'it is no fault')
})

t.test('a plan that cannot be used is sent back once; both answers are remembered', async t => {
  for (const [bad, fault] of [['no json', 'it is no JSON'], ['{"title":"x"}', /x/], [good.replace('apples"', 'pears"'), 'there is no column pears'], [good.replace('"y":"apples"', '"y":"day"'), 'day is no column of numbers']] as const) {
    const { queue, asked, logger } = await startLlm(t, [says(bad), says(good)])
    t.match(await queue.run(), { status: 'COMPLETED', attempt: 1 })
    const [, correction] = asked
    t.match(correction!.body.messages.slice(2), [{ role: 'assistant', content: bad }, { role: 'user', content: fault }])
    t.equal(logger.said('model answered').length, 2)
  }
  const { queue, asked } = await startLlm(t, [says('{}'), says('{}')])
  t.match(await queue.run(), { status: 'FAILED', attempt: 1, error_code: 'BAD_MODEL_OUTPUT', error_message: 'The model found no chart for this' })
  t.equal(asked.length, 2, 'a third answer is not paid for')
})

t.test('what a model writes is no markup', async t => {
  const { queue } = await startLlm(t, [says(JSON.stringify({ title: '</title><script>alert(1)</script>', x: 'day', y: 'apples' }))])
  const { svg } = await queue.content(await queue.run()) as { svg: string }
  t.notMatch(svg, /<script/)
})

t.test('tokens as a metric, those of answers that were of no use too', async t => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })] })
  metrics.setGlobalMeterProvider(provider)
  t.teardown(() => provider.shutdown())
  const { queue } = await startLlm(t, [says('{}'), says(good)], { onUsage: tokenMetrics('openai') })
  t.match(await queue.run(), { status: 'COMPLETED' })
  await provider.forceFlush()
  const [metric] = exporter.getMetrics()[0]!.scopeMetrics[0]!.metrics
  t.equal(metric!.descriptor.name, 'gen_ai.client.token.usage')
  t.match(metric!.dataPoints.map(({ attributes, value }) => ({ attributes, value })), [
    { attributes: { 'gen_ai.token.type': 'input', 'gen_ai.request.model': 'small', 'gen_ai.provider.name': 'openai', 'gen_ai.operation.name': 'chat' }, value: { count: 2, sum: 80 } },
    { attributes: { 'gen_ai.token.type': 'output' }, value: { count: 2, sum: 24 } }
  ])
})

t.test('the worker of the example', { skip: await redisServerPath() === null && 'there is no redis-server' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { baseURL } = await startProvider(t, says(good))
  const worker = spawn(process.execPath, [...process.execArgv, fileURLToPath(new URL('dist/examples/llm/worker.js', root))], {
    env: { PATH: process.env['PATH'], REDIS_URL: server.url, OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: 'secret' }, stdio: ['ignore', 'ignore', 'inherit']
  })
  const exited = once(worker, 'exit')
  t.teardown(() => worker.kill('SIGKILL'))
  const redis = new Redis(server.url)
  const queue = new ChartQueueService({ redis })
  t.teardown(async () => {
    await queue.close()
    redis.disconnect()
  })
  const { task } = await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
  let last: ChartTask = task
  for await (last of queue.watchTask(task.task_id));
  t.match((await queue.getChart(last))?.content, { title: 'Apples by day' })
  worker.kill('SIGTERM')
  t.same(await exited, [0, null])
})
