import { test } from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { AttemptError, failureOf, serializeContent } from '../../lib/service/outcome.ts'

const plain = { code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null }

test('what a generator throws without meaning the user is retried, and not shown', async t => {
  for (const error of [new Error('password=hunter2'), new TypeError('x is undefined'), 'a string', undefined, null, 5, { message: 'secret' }]) {
    t.strictSame(failureOf(error), plain)
  }
})

test('a ChartGenerationError reaches the user, and is not retried unless it says so', async t => {
  t.strictSame(failureOf(new ChartGenerationError('No rows in this date range', { code: 'NO_DATA' })), {
    code: 'NO_DATA', message: 'No rows in this date range', delay: 'never'
  })
  t.strictSame(failureOf(new ChartGenerationError('Busy', { retryable: true })), { code: 'CHARTS_ERR_GENERATION_FAILED', message: 'Busy', delay: null })
  t.strictSame(failureOf(new ChartGenerationError('Busy', { retryable: true, retryDelay: 1_500.4 })).delay, 1_500)
  t.strictSame(failureOf(new ChartGenerationError('Busy', { retryDelay: 1_500 })).delay, 'never', 'a delay alone is no wish to be retried')
  t.strictSame(failureOf(new ChartGenerationError('Busy', { retryable: true, retryDelay: 0 })).delay, 0)
})

test('a ChartGenerationError of another copy of the package is one too', async t => {
  const foreign = Object.assign(new Error('No rows'), { name: 'ChartGenerationError', code: 'NO_DATA', retryable: false })
  t.strictSame(failureOf(foreign), { code: 'NO_DATA', message: 'No rows', delay: 'never' })
})

test('a code that is none becomes the default one', async t => {
  for (const code of ['no_data', 'NO DATA', '', '1ST', `A${'B'.repeat(64)}`, 5, null]) {
    t.equal(failureOf(new ChartGenerationError('No rows', { code: code as never })).code, 'CHARTS_ERR_GENERATION_FAILED')
  }
  t.equal(failureOf(new ChartGenerationError('No rows', { code: `A${'B'.repeat(63)}` })).code.length, 64)
})

test('a wait that is none is the task’s own, one without end has an end', async t => {
  for (const retryDelay of [-1, NaN, '5' as never]) t.equal(failureOf(new ChartGenerationError('Busy', { retryable: true, retryDelay })).delay, null)
  const delay = failureOf(new ChartGenerationError('Busy', { retryable: true, retryDelay: Infinity })).delay
  t.ok(Number.isSafeInteger(delay))
})

test('a message is cut where it is too long, and an empty one says what the code says', async t => {
  t.equal(failureOf(new ChartGenerationError('x'.repeat(100_000))).message?.length, 2_000)
  t.equal(failureOf(new ChartGenerationError('')).message, null)
})

test('what the package finds itself has a code of its own', async t => {
  t.strictSame(failureOf(new AttemptError('CHARTS_ERR_ATTEMPT_TIMEOUT', { retryable: true })), {
    code: 'CHARTS_ERR_ATTEMPT_TIMEOUT', message: null, delay: null
  })
  t.strictSame(failureOf(new AttemptError('CHARTS_ERR_INVALID_CHART', { retryable: false })).delay, 'never')
})

test('any JSON value is a chart', async t => {
  for (const content of [null, false, 0, '', [], {}, { mark: 'bar', rows: [1, 'größer', null] }]) {
    t.equal(serializeContent(content, 1_000), JSON.stringify(content))
  }
})

test('what JSON cannot hold is none', async t => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  const deep: unknown[] = []
  for (let i = 0, at = deep; i < 100_000; i++) at.push(at = [])
  const throwing = { toJSON () { throw new Error('not today') } }
  const bad = { cycle, bigint: { rows: [10n] }, undefined, function: () => 1, symbol: Symbol('chart'), throwing, 'too deep': deep, 'toJSON giving nothing': { toJSON () {} } }
  for (const [name, content] of Object.entries(bad)) {
    t.throws(() => serializeContent(content as never, 0), { code: 'CHARTS_ERR_INVALID_CHART', retryable: false }, name)
  }
})

test('a chart has at most as many bytes as allowed, counted as they are stored', async t => {
  t.equal(serializeContent('x'.repeat(98), 100).length, 100)
  t.throws(() => serializeContent('x'.repeat(99), 100), { code: 'CHARTS_ERR_CHART_TOO_LARGE', retryable: false })
  t.throws(() => serializeContent('ü'.repeat(50), 100), { code: 'CHARTS_ERR_CHART_TOO_LARGE' })
  t.equal(serializeContent('x'.repeat(1_000_000), 0).length, 1_000_002, '0 is off')
})
