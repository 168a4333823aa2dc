export { createChartsClient } from './charts-client.ts'
export { ChartsClientError, type ClientCode } from './client-error.ts'
export type { ChartsClientOptions } from './transport.ts'
export type {
  Batch, ByMessageOptions, CallOptions, ChartsClient, CreateBatchedChart, CreateChart, CreateOptions, CreatedBatch, CreatedTask, FinishedChart,
  GenerateOptions, ListedMessage, Watch, WatchOptions
} from './types.ts'
export type { ChartPriority, ChartStatus, ChartVisibility, JsonValue, PublicChartTask } from '../task.ts'
