export { asyncCharts, asyncCharts as default, type AsyncChartsOptions } from './plugin.ts'
export { ChartQueueService, type ChartQueueServiceOptions, type CreatorOptions, type QueueOptions, type StoreChoice } from './chart-queue-service.ts'
export { runWorker, type ChartWorker, type RunWorkerOptions } from './worker/run-worker.ts'
export { defineCharts, type ChartsDefinition, type ContentOf, type ParamsOf, type ParamsSchema } from './define-charts.ts'
export { memoryStore } from './store/memory.ts'
export {
  ChartGenerationError, errors, isChartsError, type ChartGenerationErrorOptions, type ChartsError, type ChartsErrorCode, type FailureCode
} from './errors.ts'
export { BatchRequestSchema, ChartPriority, ChartSchema, ChartStatus, ChartTaskSchema, ChartVisibility, CreateChartRequestSchema } from './task.ts'
export type { BatchedChartRequest, Chart, ChartRequest, ChartTask, CreateChartRequest, Identity, JsonValue, PublicChartTask, StoredTask, TraceContext } from './task.ts'
export type { AbortCode, ChartContent, GenerateChart, GenerateContext, Logger, ProgressUpdate } from './generator.ts'
export type { BackoffOptions, LimitsOptions, RetentionOptions, RetryOptions, RouteLogOptions, StreamOptions, WorkerOptions } from './options/types.ts'
export type { Access, Authorize, Identify, Operation } from './http/access.ts'
export type { ChartRoute, ChartRouteOptions, CustomizeRoute } from './http/customize-route.ts'
export type { ChartStore } from './service/chart-store.ts'
export type { ListedChart, MessageCharts, MessageChartsOptions } from './service/listed-charts.ts'
export type { GroupState } from './service/group-feed.ts'
export type { Outcome } from './service/outcome.ts'
export type { EnqueueBatchResult, EnqueueOptions, EnqueueResult } from './service/admission.ts'
export type { BulkFilter, BulkOptions, BulkResult } from './service/bulk.ts'
export type { FailureGroup, Histogram, Percentiles, QueueFailures, QueueHistory, QueueHistoryMinute } from './service/monitoring.ts'
export type { ListTasksOptions } from './service/task-list.ts'
export type { AttemptRecord, QueueStats, RunningAttempt, TaskDetails, TaskPage, TaskStore, WorkerEntry, WorkerList } from './store/task-store.ts'
export type {
  AttemptEndedMessage, CancelDeliveredMessage, CancelMessage, ClaimMessage, ClaimedMessage, EstimateMessage, FeedMessage, LeaseExpiredMessage, ObservedQueue,
  ProcessMessage, RefusedMessage, SendMessage, SettleMessage, StepMessage, StreamMessage, TaskEndedMessage, Telemetry, ThreadMessage
} from './telemetry/channels.ts'
