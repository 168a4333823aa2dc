import { test } from 'tap'
import { ChartQueueService, memoryStore, runWorker, type AsyncChartsOptions } from '../../lib/index.ts'
import { resolveOptions, resolveRouteOptions } from '../../lib/options/resolve.ts'
import { InProcessWorkerSchema, PluginOptionsSchema, ServiceOptionsSchema, WorkerOptionsSchema } from '../../lib/options/schemas.ts'

const store = memoryStore()
const redis = { duplicate () {}, evalsha () {}, blpop () {} }
const generate = async () => null

const limits = { waitingPerTenant: 1_000, runningPerTenant: 0, scheduledPerTenant: 1_000, queueLength: 10_000, queueTimeout: 0, requestBytes: 65_536, chartBytes: 1_048_576, checkpointBytes: 1_048_576 }
const retention = { task: 86_400, status: 3_600, messageIndex: 86_400 }
const retry = { attempts: 3, backoff: { type: 'exponential', delay: 1_000, max: 60_000, jitter: 0.5 } }
const worker = { concurrency: 2, leaseDuration: 10_000, attemptTimeout: 600_000, shutdownTimeout: 25_000, threadMemory: 0 }
const stream = { heartbeat: 15_000, pollInterval: 2_000, maxPerUser: 20, maxDuration: 900_000, allowedOrigins: 'same-origin' }

test('every default is the one of the contract', async t => {
  t.strictSame(resolveOptions(PluginOptionsSchema, { store }), {
    store, keyPrefix: 'async-charts', prefix: '/api/v1/analytics', limits, retention, retry, stream
  })
  t.strictSame(resolveOptions(ServiceOptionsSchema, { store }), {
    store, keyPrefix: 'async-charts', limits, retention, retry, leaseDuration: 10_000, pollInterval: 2_000
  })
  t.strictSame(resolveOptions(WorkerOptionsSchema, { store }), { store, keyPrefix: 'async-charts', limits, ...worker, handleSignals: true })
  t.strictSame(resolveOptions(InProcessWorkerSchema, undefined), worker)
})

test('what is given stays, and the defaults fill the rest, in groups too', async t => {
  const resolved = resolveOptions(ServiceOptionsSchema, {
    redis, keyPrefix: 'charts', retention: { status: 60 }, retry: { backoff: { type: 'fixed', jitter: 0 } }, limits: { queueLength: 0 }, leaseDuration: 500
  })
  t.strictSame(resolved, {
    redis,
    keyPrefix: 'charts',
    retention: { ...retention, status: 60 },
    retry: { attempts: 3, backoff: { ...retry.backoff, type: 'fixed', jitter: 0 } },
    limits: { ...limits, queueLength: 0 },
    leaseDuration: 500,
    pollInterval: 2_000
  })
  t.equal(resolved.redis, redis, 'the client itself, no copy')
})

test('how long details and the index are kept follows from how long tasks are', async t => {
  const cases: Array<[given: object, resolved: object]> = [
    [{ task: 60 }, { task: 60, status: 60, messageIndex: 86_400 }],
    [{ task: 7 * 86_400 }, { task: 7 * 86_400, status: 3_600, messageIndex: 7 * 86_400 }],
    [{ task: 60, status: undefined }, { task: 60, status: 60, messageIndex: 86_400 }],
    [{ task: 60, status: 10, messageIndex: 70 }, { task: 60, status: 10, messageIndex: 70 }]
  ]
  for (const [retention, resolved] of cases) {
    t.strictSame(resolveOptions(ServiceOptionsSchema, { store, retention }).retention, resolved)
    t.strictSame(resolveOptions(PluginOptionsSchema, { store, retention }).retention, resolved)
  }
})

test('undefined is as good as not given', async t => {
  const resolved = resolveOptions(ServiceOptionsSchema, { store, redis: undefined, keyPrefix: undefined, retry: { attempts: undefined } })
  t.equal(resolved.keyPrefix, 'async-charts')
  t.strictSame(resolved.retry, retry)
})

test('so it is to the compiler of a host that tells the two apart', async t => {
  const options: AsyncChartsOptions = {
    redis: undefined,
    store,
    identify: () => null,
    authorize: undefined,
    generate: undefined,
    limits: { waitingPerTenant: undefined },
    retention: { task: undefined },
    retry: { attempts: undefined, backoff: { delay: undefined } },
    worker: { concurrency: undefined },
    stream: { heartbeat: undefined, allowedOrigins: undefined }
  }
  const { identify, worker: given, ...resolved } = resolveOptions(PluginOptionsSchema, options)
  t.strictSame(resolved, resolveOptions(PluginOptionsSchema, { store }))
  t.strictSame(resolveOptions(InProcessWorkerSchema, given), worker)
})

test("the host's object is left as it is", async t => {
  const freeze = <T extends object>(value: T): T => {
    for (const member of Object.values(value)) if (Object.getPrototypeOf(member) === Object.prototype) freeze(member)
    return Object.freeze(value)
  }
  const options = freeze({ store, retention: {}, retry: { backoff: {} }, stream: {}, limits: {} })
  resolveOptions(PluginOptionsSchema, options)
  resolveOptions(PluginOptionsSchema, options)
  t.strictSame(options, { store, retention: {}, retry: { backoff: {} }, stream: {}, limits: {} })
})

test('edges are allowed', async t => {
  for (const options of [
    { retention: { task: 60, status: 60, messageIndex: 60 } },
    { retention: { task: 1, status: 1, messageIndex: 31_536_000 } },
    { retry: { attempts: 1, backoff: { delay: 0, max: 0, jitter: 1 } } },
    { retry: { attempts: 1_000 } },
    { limits: { waitingPerTenant: 0, runningPerTenant: 0, scheduledPerTenant: 0, queueLength: 0, queueTimeout: 0, requestBytes: 0, chartBytes: 0, checkpointBytes: 0 } },
    { prefix: '' },
    { prefix: '/' + 'a/b' },
    { worker: false },
    { worker: {} },
    { stream: { allowedOrigins: '*', maxPerUser: 0 } },
    { stream: { allowedOrigins: [] } },
    { stream: { allowedOrigins: ['https://example.org', 'http://localhost:5173', 'http://[::1]:8080', 'capacitor://localhost', 'chrome-extension://abcdef', 'null'] } },
    { keyPrefix: 'a:b-c_d' }
  ]) t.doesNotThrow(() => resolveOptions(PluginOptionsSchema, { store, ...options }), JSON.stringify(options))
})

const faults: Array<[options: object, message: string | RegExp]> = [
  [{ colour: 'red' }, /^fastify-async-charts: options\.colour is not an option; known are redis, store, keyPrefix, /],
  [{ retry: { tries: 3 } }, 'fastify-async-charts: options.retry.tries is not an option; known are attempts, backoff'],
  [{ retry: { backoff: { typ: 'fixed' } } }, 'fastify-async-charts: options.retry.backoff.typ is not an option; known are type, delay, max, jitter'],
  [{ constructor: 1 }, /options\.constructor is not an option/],
  [{ keyPrefix: 5 }, 'fastify-async-charts: options.keyPrefix must be string, got 5'],
  [{ keyPrefix: '' }, /options\.keyPrefix .*, got ""$/],
  [{ keyPrefix: '{charts}' }, /options\.keyPrefix .*, got "{charts}"$/],
  [{ keyPrefix: 'a\ud800' }, /options\.keyPrefix /],
  [{ keyPrefix: 'a\u0000' }, /options\.keyPrefix /],
  [{ keyPrefix: 'my charts' }, /options\.keyPrefix .*, got "my charts"$/],
  [{ retry: 3 }, 'fastify-async-charts: options.retry must be object, got 3'],
  [{ retry: null }, 'fastify-async-charts: options.retry must be object, got null'],
  [{ retry: { attempts: 0 } }, 'fastify-async-charts: options.retry.attempts must be >= 1, got 0'],
  [{ retry: { attempts: 2.5 } }, 'fastify-async-charts: options.retry.attempts must be integer, got 2.5'],
  [{ retry: { attempts: '3' } }, 'fastify-async-charts: options.retry.attempts must be integer, got "3"'],
  [{ retry: { backoff: { type: 'linear' } } }, 'fastify-async-charts: options.retry.backoff.type must be one of fixed, exponential, got "linear"'],
  [{ retry: { backoff: { delay: -1 } } }, 'fastify-async-charts: options.retry.backoff.delay must be >= 0, got -1'],
  [{ retry: { backoff: { jitter: 1.5 } } }, 'fastify-async-charts: options.retry.backoff.jitter must be <= 1, got 1.5'],
  [{ retention: { task: 0 } }, 'fastify-async-charts: options.retention.task must be >= 1, got 0'],
  [{ retention: { task: 60, status: 3_600 } }, 'fastify-async-charts: options.retention.status must be at most options.retention.task (60), got 3600'],
  [{ retention: { task: 100_000, messageIndex: 86_400 } }, 'fastify-async-charts: options.retention.messageIndex must be at least options.retention.task (100000), got 86400'],
  [{ retention: { task: '60' } }, 'fastify-async-charts: options.retention.task must be integer, got "60"'],
  [{ retention: { task: 60, status: null } }, 'fastify-async-charts: options.retention.status must be integer, got null'],
  [{ retention: { task: 600, status: 601, messageIndex: 600 } }, 'fastify-async-charts: options.retention.status must be at most options.retention.task (600), got 601'],
  [{ retention: { messageIndex: 3_600 } }, 'fastify-async-charts: options.retention.messageIndex must be at least options.retention.task (86400), got 3600'],
  [{ limits: { queueLength: -1 } }, 'fastify-async-charts: options.limits.queueLength must be >= 0, got -1'],
  [{ limits: { chartBytes: 10n } }, 'fastify-async-charts: options.limits.chartBytes must be integer, got 10'],
  [{ stream: { heartbeat: Infinity } }, 'fastify-async-charts: options.stream.heartbeat must be <= 2147483647, got Infinity'],
  [{ stream: { allowedOrigins: 5 } }, /options\.stream\.allowedOrigins .*, got 5$/],
  [{ worker: true }, /options\.worker .*, got true$/],
  [{ prefix: 'api' }, /options\.prefix .*, got "api"$/],
  [{ prefix: '/api/' }, /options\.prefix .*, got "\/api\/"$/],
  [{ identify: 'me' }, 'fastify-async-charts: options.identify must be a function, got "me"'],
  [{ generate: {} }, 'fastify-async-charts: options.generate must be a function or the URL of a module, got an object'],
  [{ onFinished: [] }, 'fastify-async-charts: options.onFinished must be a function, got []'],
  [{ chartStore: { save () {}, get () {} } }, 'fastify-async-charts: options.chartStore must have the methods save, get, findByMessage, got an object'],
  [{ logger: console.log }, /options\.logger must have the methods .*, got a function$/],
  [{ paramsSchema: 'object' }, 'fastify-async-charts: options.paramsSchema must be object, got "object"'],
  [{ store: undefined }, 'fastify-async-charts: exactly one of options.redis and options.store must be given, got neither'],
  [{ store: null }, /options\.store|neither/],
  [{ redis }, 'fastify-async-charts: exactly one of options.redis and options.store must be given, got both'],
  [{ store: {} }, /^fastify-async-charts: options\.store must have the methods .*, got an object$/],
  [{ store: undefined, redis: 'redis://127.0.0.1' }, /^fastify-async-charts: options\.redis must have the methods .*, got a string$/],
  [{ store: undefined, redis: ['redis://:s3cret@127.0.0.1'] }, /^fastify-async-charts: options\.redis must have the methods .*, got a list$/],
  [{ store: 'redis://:s3cret@127.0.0.1' }, /^fastify-async-charts: options\.store must have the methods .*, got a string$/],
  ...['', '*', 'same-origin', 'app.example', 'https://app.example/', 'https://app.example/path', 'https://App.example', 'https://app.example:443', 'https://', ' https://app.example']
    .map((origin): [object, string] => [
      { stream: { allowedOrigins: ['https://app.example', origin] } },
      `fastify-async-charts: options.stream.allowedOrigins.1 must be an origin as browsers send it, such as https://app.example or http://localhost:5173, got ${JSON.stringify(origin)}`
    ])
]
for (const [options, message] of faults) {
  test(`a clear error for ${message}`, async t => {
    t.throws(() => resolveOptions(PluginOptionsSchema, { store, ...options }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
  })
}

test('the options as a whole must be an object', async t => {
  for (const [options, got] of [[5, 'a number'], ['redis://:s3cret@127.0.0.1', 'a string'], [[store], 'a list'], [() => {}, 'a function']] as const) {
    t.throws(() => resolveOptions(PluginOptionsSchema, options), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: `fastify-async-charts: options must be object, got ${got}` })
  }
  for (const options of [undefined, null]) {
    t.throws(() => resolveOptions(PluginOptionsSchema, options), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /got neither$/ })
  }
})

test('the service checks its own', async t => {
  t.throws(() => new ChartQueueService({} as never), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /got neither/ })
  t.throws(() => new ChartQueueService({ store, prefix: '/api' } as never), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.prefix is not an option/ })
  const untouched = { ...redis, duplicate () { t.fail('nothing is opened that nobody could close') } }
  t.throws(() => new ChartQueueService({ redis: untouched as never, paramsSchema: { type: 'nonsense' } }), {
    code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.paramsSchema/
  })
})

test('a member of a list that is undefined is told as such', async t => {
  const message = 'fastify-async-charts: options.routes(createChart).schema.tags.0 must be string, got undefined'
  t.throws(() => resolveRouteOptions('createChart', { schema: { tags: [undefined] } }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
})

test('the file of threads must be a URL', async t => {
  const message = 'fastify-async-charts: options.threadEntry must be a URL, got "thread-main.js"'
  t.throws(() => resolveOptions(WorkerOptionsSchema, { store, threadEntry: 'thread-main.js' }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
})

test('a worker is told what is not its own to decide', async t => {
  for (const [name, value] of [['retry', { attempts: 1 }], ['retention', { task: 60 }], ['retry', undefined]] as const) {
    await t.rejects(runWorker({ store, generate, [name]: value } as never), {
      code: 'CHARTS_ERR_INVALID_OPTIONS', message: new RegExp(`options\\.${name} is not an option of a worker: it belongs to whoever creates the tasks`)
    })
  }
  await t.rejects(runWorker({ store } as never), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.generate must be a function or the URL of a module, got undefined/ })
  await t.rejects(runWorker({ store, generate, concurrency: 0 }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.concurrency must be >= 1, got 0/ })
  await t.rejects(runWorker({ store, redis, generate } as never), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /got both/ })
  await t.rejects(runWorker(undefined as never), { code: 'CHARTS_ERR_INVALID_OPTIONS' })
})

test('an old name is accepted with a warning, once for each code', async t => {
  const warnings: Array<Error & { code?: string }> = []
  const listen = (warning: Error) => { warnings.push(warning) }
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const given = { store, limits: { timeInQueue: 60_000 }, stream: { poll: 500 } }
  const { limits: { queueTimeout }, stream: { pollInterval } } = resolveOptions(PluginOptionsSchema, given)
  t.strictSame([queueTimeout, pollInterval], [60_000, 500])
  t.equal(resolveOptions(ServiceOptionsSchema, { store, poll: 300, limits: { timeInQueue: 1 } }).pollInterval, 300)
  t.strictSame(given, { store, limits: { timeInQueue: 60_000 }, stream: { poll: 500 } }, "the host's object is left as it is")
  // Warnings are emitted in the next tick.
  await new Promise(resolve => setImmediate(resolve))
  t.same(warnings.map(({ name, code, message }) => [name, code, message]), [
    ['DeprecationWarning', 'CHARTS_DEP001', 'fastify-async-charts: options.limits.timeInQueue was renamed to options.limits.queueTimeout'],
    ['DeprecationWarning', 'CHARTS_DEP002', 'fastify-async-charts: options.stream.poll was renamed to options.stream.pollInterval']
  ])
})

test('an old name is checked as its new one is, and not accepted beside it', async t => {
  for (const [options, message] of [
    [{ limits: { timeInQueue: -1 } }, 'fastify-async-charts: options.limits.queueTimeout must be >= 0, got -1'],
    [{ limits: { timeInQueue: 1, queueTimeout: 1 } }, 'fastify-async-charts: options.limits.timeInQueue is the old name of options.limits.queueTimeout: only one of them may be given, got both'],
    [{ stream: { poll: 50, pollInterval: 50 } }, /^fastify-async-charts: options\.stream\.poll is the old name of options\.stream\.pollInterval/],
    [{ poll: 50 }, /^fastify-async-charts: options\.poll is not an option/]
  ] as const) t.throws(() => resolveOptions(PluginOptionsSchema, { store, ...options }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
  t.throws(() => resolveOptions(ServiceOptionsSchema, { store, poll: 50, pollInterval: 50 }), { message: /options\.poll is the old name of options\.pollInterval/ })
})
