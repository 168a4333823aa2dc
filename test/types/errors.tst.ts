import { ChartGenerationError, errors, isChartsError, type ChartsError, type ChartsErrorCode, type FailureCode } from 'fastify-async-charts'
import { expect, test } from 'tstyche'

declare const error: unknown

test('an error has its code as a literal', () => {
  expect(new errors.CHARTS_ERR_QUEUE_FULL().code).type.toBe<'CHARTS_ERR_QUEUE_FULL'>()
  expect(new errors.CHARTS_ERR_QUEUE_FULL().statusCode).type.toBe<number>()
  if (error instanceof errors.CHARTS_ERR_TASK_NOT_FOUND) expect(error.code).type.toBe<'CHARTS_ERR_TASK_NOT_FOUND'>()
  expect<ChartsErrorCode>().type.not.toBeAssignableFrom<'CHARTS_ERR_TASK_NOT_FUOND'>()
})

test('an error takes what its message needs', () => {
  expect(errors.CHARTS_ERR_REQUEST_TOO_LARGE).type.toBeConstructableWith(2, 1)
  expect(errors.CHARTS_ERR_REQUEST_TOO_LARGE).type.not.toBeConstructableWith()
  expect(errors.CHARTS_ERR_QUEUE_FULL).type.not.toBeConstructableWith('full')
})

test('isChartsError tells them apart by code', () => {
  if (!isChartsError(error)) return expect(error).type.toBe<unknown>()
  expect(error).type.toBe<ChartsError>()
  expect(error.code).type.toBe<ChartsErrorCode>()
  // @ts-expect-error no overlap
  if (error.code === 'CHARTS_ERR_TASK_NOT_FUOND') throw error
})

test('a failed task has a code of ours or of its generator', () => {
  expect<FailureCode>().type.toBeAssignableFrom<'CHARTS_ERR_QUEUE_TIMEOUT'>()
  expect(ChartGenerationError).type.toBeConstructableWith('No rows', { code: 'NO_ROWS', retryable: false })
  expect(ChartGenerationError).type.not.toBeConstructableWith('No rows', { code: 404 })
})
