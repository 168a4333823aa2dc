import t from 'tap'
import { ChartGenerationError, type JsonValue } from '../../lib/index.ts'
import { until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const PLAIN = { status: 'FAILED', error_code: 'CHARTS_ERR_GENERATION_FAILED', error_message: 'Chart generation failed', chart_id: null }

function cycle (): JsonValue {
  const ring: Record<string, unknown> = {}
  ring['self'] = ring
  return ring as JsonValue
}

function nested (levels: number): JsonValue {
  let value: JsonValue = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

function brokenError (): Error {
  const error = new Error('secret')
  for (const name of ['stack', 'message', 'name', 'code', 'cause']) {
    Object.defineProperty(error, name, { get () { throw new TypeError(`no ${name} for you`) } })
  }
  return error
}

function brokenChartError (): Error {
  const error = new ChartGenerationError('secret')
  for (const name of ['message', 'code', 'retryable', 'retryDelay']) {
    Object.defineProperty(error, name, { get () { throw new TypeError(`no ${name} for you`) } })
  }
  return error
}

for (const kind of stores) {
  t.test(`what a generator throws, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const thrown = new Map<string, unknown>([
      ['an Error', new Error('a secret of the generator')],
      ['a string', 'a secret of the generator'],
      ['null', null],
      ['undefined', undefined],
      ['a number', 7],
      ['a symbol', Symbol('secret')],
      ['an object without a prototype', Object.create(null)],
      ['a function', () => {}],
      ['an Error whose getters throw', brokenError()],
      ['a ChartGenerationError whose getters throw', brokenChartError()],
      ['a Proxy that throws', new Proxy({}, { get () { throw new Error('trap') }, getPrototypeOf () { throw new Error('trap') } })]
    ])
    const tries = new Map<string, number>()
    const logger = recordingLogger()
    await queue.work(async ({ adjustment_query: what }) => {
      tries.set(what!, (tries.get(what!) ?? 0) + 1)
      throw thrown.get(what!)
    }, { concurrency: 4, logger })

    for (const what of thrown.keys()) {
      const task = await queue.run({ adjustment_query: what })
      t.match(task, { ...PLAIN, attempt: 3, max_attempts: 3, progress: 0 }, `${what}: plain for the user`)
      t.equal(tries.get(what), 3, `${what}: tried three times`)
    }
    for (const text of ['chart attempt failed, it will be retried', 'chart failed']) {
      t.ok(logger.said(text).some(({ details }) => (details['err'] as Error)?.message === 'a secret of the generator'), 'the log has it all')
    }
    await until(() => logger.said('chart failed').length === thrown.size)
  })

  t.test(`how a generator throws, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 2 } })
    const ways: Record<string, () => unknown> = {
      'at once': () => { throw new Error('secret') },
      'a promise that rejects': () => Promise.reject(new Error('secret')),
      'a thenable that throws': () => ({ then () { throw new Error('secret') } }),
      'a thenable whose getter throws': () => ({ get then () { throw new Error('secret') } })
    }
    await queue.work((({ adjustment_query: way }: { adjustment_query: string }) => ways[way]!()) as never)
    for (const way of Object.keys(ways)) t.match(await queue.run({ adjustment_query: way }), { ...PLAIN, attempt: 2 }, way)
  })

  t.test(`a generator speaks to the user with a ChartGenerationError, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const foreign = Object.assign(new Error('From another copy'), { name: 'ChartGenerationError', code: 'FOREIGN', retryable: false })
    const cases: Record<string, { error: Error, end: object }> = {
      'not retried': { error: new ChartGenerationError('No rows', { code: 'NO_DATA' }), end: { error_message: 'No rows', error_code: 'NO_DATA', attempt: 1 } },
      'without a code': { error: new ChartGenerationError('No rows'), end: { error_message: 'No rows', error_code: 'CHARTS_ERR_GENERATION_FAILED', attempt: 1 } },
      'with a code that is none': { error: new ChartGenerationError('No rows', { code: 'not a code' }), end: { error_message: 'No rows', error_code: 'CHARTS_ERR_GENERATION_FAILED', attempt: 1 } },
      'with a code that is too long': { error: new ChartGenerationError('No rows', { code: 'A'.repeat(65) }), end: { error_code: 'CHARTS_ERR_GENERATION_FAILED', attempt: 1 } },
      'without words': { error: new ChartGenerationError(''), end: { error_message: 'Chart generation failed', attempt: 1 } },
      retried: { error: new ChartGenerationError('Busy', { code: 'BUSY', retryable: true }), end: { error_message: 'Busy', error_code: 'BUSY', attempt: 3 } },
      'of another copy of this package': { error: foreign, end: { error_message: 'From another copy', error_code: 'FOREIGN', attempt: 1 } },
      'with words that are no text': {
        error: Object.assign(new ChartGenerationError('x', { code: 'ODD' }), { message: 42 }), end: { error_message: 'Chart generation failed', error_code: 'ODD', attempt: 1 }
      }
    }
    await queue.work(async ({ adjustment_query: name }) => { throw cases[name!]!.error })
    for (const [name, { end }] of Object.entries(cases)) {
      t.match(await queue.run({ adjustment_query: name }), { status: 'FAILED', ...end }, name)
    }
  })

  t.test(`retryDelay replaces the backoff, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { backoff: { delay: 60_000, jitter: 0 } } })
    const starts: number[] = []
    await queue.work(async (_request, { attempt }) => {
      starts.push(performance.now())
      if (attempt === 1) throw new ChartGenerationError('Busy', { retryable: true, retryDelay: 300 })
      return null
    })
    const { task_id } = await queue.enqueue()
    await queue.state(task_id, task => task.status === 'PENDING' && task.current_step === 'retrying')
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 2, error_message: null, error_code: null })
    t.ok(starts[1]! - starts[0]! >= 299, `waited ${starts[1]! - starts[0]!} ms`)
  })

  t.test(`what is no chart fails at once, with a code of its own, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { limits: { chartBytes: 2_000 } })
    const results: Record<string, unknown> = {
      'too deep': nested(501),
      'too deep by its toJSON': { toJSON: () => nested(501) },
      'a cycle': cycle(),
      'a BigInt': { n: 1n },
      undefined,
      'a function': () => {},
      'a symbol': Symbol('chart'),
      'a toJSON that throws': { toJSON () { throw new Error('secret') } },
      'too much': 'x'.repeat(1_999),
      'too much in bytes only': 'ü'.repeat(1_000)
    }
    let calls = 0
    await queue.work(async ({ adjustment_query: what }) => {
      calls++
      return results[what!] as JsonValue
    })
    for (const what of Object.keys(results)) {
      calls = 0
      const code = what.startsWith('too much') ? 'CHARTS_ERR_CHART_TOO_LARGE' : 'CHARTS_ERR_INVALID_CHART'
      const task = await queue.run({ adjustment_query: what })
      t.match(task, { status: 'FAILED', error_code: code, attempt: 1, chart_id: null }, what)
      t.not(task.error_message, 'secret')
      t.equal(calls, 1, `${what}: not retried`)
    }
  })

  t.test(`a chart is what JSON.stringify makes of it, in well-formed text, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    await queue.work(async () => ({
      rows: [NaN, Infinity, undefined, () => {}, new Date(0), new Map([[1, 2]])], left: undefined, format () {}, half: '\ud83d', '\udc00': '\\ud83d \ud83d\ude00'
    }))
    t.strictSame(await queue.content(await queue.run()), {
      rows: [null, null, null, null, '1970-01-01T00:00:00.000Z', {}], half: '\ufffd', '\ufffd': '\\ud83d \ud83d\ude00'
    })
  })

  t.test(`any JSON is a chart, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { limits: { chartBytes: 1_002 } })
    const contents: Record<string, JsonValue> = {
      'as deep as is allowed': nested(500),
      null: null,
      false: false,
      zero: 0,
      'an empty text': '',
      'an empty list': [],
      text: 'ü \u0000 \ud83d\ude00 "',
      'as much as is allowed': 'x'.repeat(1_000),
      nested: { a: [{ b: null }], __proto__: null, 'c d': 1.5 }
    }
    const returnsWithoutPromise = ({ adjustment_query: what }: { adjustment_query: string }) => contents[what]
    await queue.work(returnsWithoutPromise as never)
    for (const [what, content] of Object.entries(contents)) {
      const task = await queue.run({ adjustment_query: what })
      t.match(task, { status: 'COMPLETED', progress: 100, current_step: 'completed', attempt: 1 }, what)
      t.same(await queue.content(task), content, what)
    }
  })
}
