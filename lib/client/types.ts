import type { ListedChart } from '../service/listed-charts.ts'
import type { BatchedChartRequest, Chart, ChartStatus, CreateChartRequest, JsonValue, PublicChartTask } from '../task.ts'

/** What a create takes; `Params` is the host's own `params`. */
export type CreateChart<Params = JsonValue> = Omit<CreateChartRequest, 'params'> & { params?: Params }
/** One of a batch. */
export type CreateBatchedChart<Params = JsonValue> = Omit<BatchedChartRequest, 'params'> & { params?: Params }
/** A task, and what came of the request in words. */
export type CreatedTask = PublicChartTask & { message: string }
/** A finished chart; `Content` is what the host's generator returns. */
export type FinishedChart<Content = JsonValue> = Chart<Content>

/** A message's charts and tasks, newest first. */
export interface ListedMessage<Content = JsonValue> {
  charts: Array<Omit<ListedChart, 'content'> & { content?: Content }>
  active_tasks: PublicChartTask[]
  has_active_tasks: boolean
  failed_tasks: PublicChartTask[]
  /** False: contents of more than 8 MiB were left out, those of the oldest charts. */
  content_complete: boolean
}

export interface CreatedBatch {
  batch_id: string
  /** In the order asked. */
  tasks: CreatedTask[]
}

export interface Batch {
  batch_id: string
  total: number
  counts: Record<ChartStatus, number>
  /** 0 to 100, of all its tasks. */
  progress: number
  tasks: PublicChartTask[]
}

export interface CallOptions {
  /** Aborts the request, also while it waits to be repeated: the call rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}
export interface CreateOptions extends CallOptions {
  /** Default: a new one for each call. */
  readonly idempotencyKey?: string | undefined
}
export interface GenerateOptions extends CreateOptions {
  /** Called with every state of the task, each newer than the one before. */
  readonly onUpdate?: ((task: PublicChartTask) => void) | undefined
}
export interface WatchOptions {
  /** Ends the watch, at once. The task goes on. */
  readonly signal?: AbortSignal | undefined
}
export interface ByMessageOptions extends CallOptions {
  /** 1 to 100: most charts, active tasks and failed tasks, each. Default: 50. */
  readonly limit?: number | undefined
  /** False: charts without their content. Default: true. */
  readonly content?: boolean | undefined
}

/** The states of one task or of many: those of one task each newer than the one before. */
export type Watch = AsyncIterableIterator<PublicChartTask>

export interface ChartsClient<Params = JsonValue, Content = JsonValue> {
  /** Creates a chart, waits for it, and resolves to it. Rejects if it fails or is cancelled: `code` is its `error_code`, or `CANCELLED`. */
  generate (body: CreateChart<Params>, options?: GenerateOptions): Promise<FinishedChart<Content>>
  /** Creates a chart, or finds the same one. Repeated after a lost answer, it makes no second one. */
  create (body: CreateChart<Params>, options?: CreateOptions): Promise<CreatedTask>
  /** The states of a task, the latest first; ends after the finished one, or when `signal` is aborted. */
  watch (task_id: string, options?: WatchOptions): Watch
  /** The states of all of the caller's tasks of a message, new ones included; ends when `signal` is aborted, or with `break`. */
  watchMessage (message_id: string, options?: WatchOptions): Watch
  /** The states of all tasks of a batch; ends when all have ended, or when `signal` is aborted. */
  watchBatch (batch_id: string, options?: WatchOptions): Watch
  status (task_id: string, options?: CallOptions): Promise<PublicChartTask>
  /** The finished chart. */
  result (task_id: string, options?: CallOptions): Promise<FinishedChart<Content>>
  /** Cancels the task for everybody; resolves to the cancelled task. */
  cancel (task_id: string, options?: CallOptions): Promise<PublicChartTask>
  byMessage (message_id: string, options?: ByMessageOptions): Promise<ListedMessage<Content>>
  /** Creates up to 100 charts: all are accepted, or none. */
  createBatch (tasks: ReadonlyArray<CreateBatchedChart<Params>>, options?: CreateOptions): Promise<CreatedBatch>
  batch (batch_id: string, options?: CallOptions): Promise<Batch>
  /** Cancels what has not finished. */
  cancelBatch (batch_id: string, options?: CallOptions): Promise<Batch>
}
