import type { Static } from '@sinclair/typebox'
import {
  BatchRequestSchema, ChartSchema, ChartTaskSchema, CreateChartRequestSchema, type BatchedChartRequest, type Chart, type ChartTask, type CreateChartRequest,
  type JsonValue, type PublicChartTask
} from 'fastify-async-charts'
import type { PublicChartTask as ClientTask } from 'fastify-async-charts/client'
import { expect, test } from 'tstyche'

test('what is exported of the JSON is what it describes', () => {
  expect<Static<typeof ChartTaskSchema>>().type.toBe<PublicChartTask>()
  expect<Static<typeof CreateChartRequestSchema>>().type.toBe<CreateChartRequest>()
  expect<Static<typeof BatchRequestSchema>>().type.toBe<{ tasks: BatchedChartRequest[] }>()
  expect<Chart>().type.toBeAssignableFrom<Static<typeof ChartSchema>>()
  expect<Chart['content']>().type.toBe<JsonValue>()
  expect<ClientTask>().type.toBe<PublicChartTask>()
})

test('a task of the service has its owner', () => {
  expect<ChartTask>().type.toBeAssignableTo<{ readonly user_id: string, readonly org_id: string | null, readonly depends_on: readonly string[] }>()
  expect<keyof PublicChartTask>().type.not.toBeAssignableFrom<'user_id'>()
})
