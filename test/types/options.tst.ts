import type { Static } from '@sinclair/typebox'
import type {
  AsyncChartsOptions, BackoffOptions, ChartQueueServiceOptions, LimitsOptions, RetentionOptions, RetryOptions, RunWorkerOptions, StreamOptions, WorkerOptions
} from 'fastify-async-charts'
import { expect, test } from 'tstyche'
import type { InProcessWorkerSchema, LimitsSchema, RetentionSchema, RetrySchema, StreamSchema } from '../../lib/options/schemas.ts'

/** As a host gives it: undefined is as good as not given. */
type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> | undefined }

test('every group is what its schema checks', () => {
  expect<RetentionOptions>().type.toBe<Given<Static<typeof RetentionSchema>>>()
  expect<BackoffOptions>().type.toBe<Given<Static<typeof RetrySchema.properties.backoff>>>()
  expect<Omit<RetryOptions, 'backoff'>>().type.toBe<{ attempts?: number | undefined }>()
  expect<Omit<LimitsOptions, 'timeInQueue'>>().type.toBe<Given<Static<typeof LimitsSchema>>>()
  expect<WorkerOptions>().type.toBe<Given<Static<typeof InProcessWorkerSchema>>>()
  expect<Omit<StreamOptions, 'poll'>>().type.toBe<Given<Static<typeof StreamSchema>>>()
})

test('options are of those who take them', () => {
  expect<keyof RunWorkerOptions>().type.toBeAssignableFrom<keyof WorkerOptions>()
  expect<keyof RunWorkerOptions>().type.not.toBeAssignableFrom<'retry'>()
  expect<keyof RunWorkerOptions>().type.not.toBeAssignableFrom<'retention'>()
  expect<keyof AsyncChartsOptions>().type.not.toBeAssignableFrom<'leaseDuration'>()
  expect<keyof AsyncChartsOptions>().type.not.toBeAssignableFrom<'pollInterval'>()
  expect<keyof ChartQueueServiceOptions>().type.not.toBeAssignableFrom<'identify'>()
  expect<ChartQueueServiceOptions>().type.not.toBeAssignableFrom<{ limits: { queueTimeout: string } }>()
})
