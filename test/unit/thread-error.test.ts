import { test } from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { describeError, restoreError } from '../../lib/worker/thread-error.ts'

const acrossThreads = (error: unknown) => restoreError(structuredClone(describeError(error)))

test('what a generator tells the user survives its thread', async t => {
  const told = new ChartGenerationError('Busy', { code: 'BUSY', retryable: true, retryDelay: 1_500, cause: new Error('429') })
  const restored = acrossThreads(told) as ChartGenerationError
  t.ok(restored instanceof ChartGenerationError)
  t.match(restored, { message: 'Busy', code: 'BUSY', retryable: true, retryDelay: 1_500, cause: { message: '429' } })
})

test('an error that only looks like one of the generator keeps the defaults', async t => {
  const restored = acrossThreads(Object.assign(new Error('No rows'), { name: 'ChartGenerationError', code: 7, retryable: 'yes', retryDelay: 'soon' }))
  t.ok(restored instanceof ChartGenerationError)
  t.match(restored, { message: 'No rows', code: 'CHARTS_ERR_GENERATION_FAILED', retryable: false, retryDelay: undefined })
})

test('whatever is thrown becomes an error', async t => {
  for (const thrown of [null, undefined, 'a string', 5, { message: 7, stack: 7 }]) t.ok(acrossThreads(thrown) instanceof Error, String(thrown))
  t.equal(acrossThreads('a string').message, 'a string')
})
