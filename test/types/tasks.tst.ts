import type { Static } from '@sinclair/typebox'
import {
  BatchRequestSchema, ChartSchema, ChartTaskSchema, CreateChartRequestSchema, type BatchedChartRequest, type Chart, type ChartQueueService, type ChartTask,
  type CreateChartRequest, type GroupState, type JsonValue, type PublicChartTask, type StoredTask, type TaskDetails, type TaskStore
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

test('what estimates are made of is between the service and its store', () => {
  expect<Exclude<keyof StoredTask, keyof ChartTask>>().type.toBe<'step_at' | 'step_from' | 'progress_at'>()
  expect<Awaited<ReturnType<TaskStore['read']>>>().type.toBe<Array<StoredTask | null>>()
  expect<Awaited<ReturnType<ChartQueueService['getTaskStatus']>>>().type.toBe<ChartTask | null>()
  expect<Awaited<ReturnType<ChartQueueService['enqueueChartTask']>>['task']>().type.toBe<ChartTask>()
  expect<Awaited<ReturnType<ChartQueueService['listTasks']>>['tasks']>().type.toBe<ChartTask[]>()
  expect<NonNullable<Awaited<ReturnType<ChartQueueService['getTaskDetails']>>>>().type.toBe<TaskDetails>()
  expect<TaskDetails['task']>().type.toBe<ChartTask>()
  expect<GroupState['task']>().type.toBe<ChartTask>()
})
