import { Type } from '@sinclair/typebox'
import { Uuid } from '../../task.ts'
import { Count, Timestamp, extended, message, nullable, oneOf, ref } from './building-blocks.ts'

const owner = { user_id: Type.String(), org_id: nullable(Type.String()) }
const percentiles = (description: string) => Type.Object({ p50: nullable(Count), p95: nullable(Count) }, { description })

/** The bodies of responses to operators, by the names that they have in the host's OpenAPI document. */
export const operatorBodies = {
  OperatorChartTask: extended('ChartTask', owner, 'A task and its owner'),
  AnsweredOperatorChartTask: extended('OperatorChartTask', { message }, 'A task, its owner, and what has become of the request'),
  QueueStats: Type.Object({
    queue_length: Type.Integer({ description: 'Tasks that wait for a worker' }),
    processing_count: Type.Integer({ description: 'Tasks that run' }),
    delayed_count: Type.Integer({ description: 'Tasks that wait for a time or for other tasks' }),
    oldest_waiting_at: nullable(Timestamp),
    paused: Type.Boolean(),
    updated_at: Timestamp
  }, { description: 'How many tasks the queue has' }),
  OperatorChartTaskPage: Type.Object({
    tasks: Type.Array(ref('OperatorChartTask')),
    cursor: nullable(Type.String({ description: 'For the next page; null on the last one' }))
  }, { description: 'A page of the tasks of all users' }),
  ChartAttempt: Type.Object({
    attempt: Type.Integer(),
    lease: Type.Integer(),
    worker_id: Type.String(),
    started_at: Timestamp,
    ended_at: nullable(Timestamp),
    outcome: nullable(oneOf(['completed', 'failed', 'released', 'expired', 'cancelled'], 'Null while it runs')),
    last_step: Type.String(),
    progress: Type.Integer(),
    error_code: nullable(Type.String()),
    error_message: nullable(Type.String())
  }, { description: 'One attempt at a task' }),
  ChartTaskDetails: Type.Object({
    task: ref('OperatorChartTask'),
    request: Type.Object({}, { additionalProperties: true, description: 'What the generator gets' }),
    priority: ref('ChartPriority'),
    run_at: nullable(Timestamp),
    depends_on: Type.Array(Uuid),
    batch_ids: Type.Array(Uuid),
    retried_as: nullable(Uuid),
    weight: Type.Integer({ description: 'Turns of its tenant in a round' }),
    trace: Type.Optional(Type.Object({ traceparent: Type.String(), tracestate: Type.Optional(Type.String()) }, { description: 'The trace of the request that created the task, if there was one: W3C Trace Context' })),
    attempts: Type.Array(ref('ChartAttempt'), { description: 'The latest 20, oldest first' })
  }, { description: 'Everything that is known about a task' }),
  ChartWorker: Type.Object({
    worker_id: Type.String(),
    host: Type.String(),
    pid: Type.Integer(),
    version: Type.String({ description: 'Of this package' }),
    concurrency: Type.Integer({ minimum: 1 }),
    state: oneOf(['running', 'draining'], '`draining`: it claims no more tasks'),
    started_at: Timestamp,
    last_seen_at: Timestamp,
    running: Type.Array(Type.Object({
      task_id: Uuid,
      message_id: Uuid,
      attempt: Type.Integer({ minimum: 1 }),
      current_step: Type.String(),
      progress: Type.Integer({ minimum: 0, maximum: 100 }),
      started_at: Timestamp
    }), { description: '100 at most' }),
    running_count: Count
  }, { description: 'A worker, and the attempts that run in it' }),
  ChartWorkers: Type.Object({
    workers: Type.Array(ref('ChartWorker'), { description: 'By host, then by start time' }),
    complete: Type.Boolean({ description: '`false`: there are more than 1,000 workers, or more running attempts than were read' }),
    updated_at: Timestamp
  }, { description: 'All workers' }),
  ChartDurations: Type.Object({
    count: Count,
    sum: Type.Integer({ minimum: 0, description: 'Total ms' }),
    buckets: Type.Array(Count, { description: 'The number of durations up to each of the bounds, and above the last bound' })
  }, { description: 'A histogram of durations' }),
  ChartHistoryMinute: Type.Object({
    at: Type.String({ format: 'date-time', description: 'When the minute began' }),
    created: Count,
    started: Type.Integer({ minimum: 0, description: 'Attempts' }),
    completed: Count,
    cancelled: Count,
    failed: Type.Object({}, { additionalProperties: Count, description: 'By error code; `other` has those beyond the first 20' }),
    wait: ref('ChartDurations'),
    run: ref('ChartDurations')
  }, { description: 'What happened within a minute' }),
  ChartQueueHistory: Type.Object({
    minutes: Type.Array(ref('ChartHistoryMinute'), { description: 'All minutes of the range, the oldest first' }),
    bounds: Type.Array(Count, { description: 'Upper bounds of the buckets, in ms' }),
    totals: Type.Object({
      created: Count,
      started: Count,
      completed: Count,
      cancelled: Count,
      failed: Count,
      wait: percentiles('ms from the creation of a task to its first attempt'),
      run: percentiles('ms from the first attempt of a task to its completion')
    }),
    updated_at: Timestamp
  }, { description: 'How many tasks were created, started and finished, minute by minute' }),
  ChartFailures: Type.Object({
    failures: Type.Array(Type.Object({
      error_code: Type.String(),
      count: Count,
      last_failed_at: Timestamp,
      tasks: Type.Array(Type.Object({
        task_id: Uuid,
        message_id: Uuid,
        error_message: nullable(Type.String()),
        completed_at: nullable(Timestamp)
      }), { description: 'The latest five that are still kept' })
    }), { description: 'The most frequent codes first, 100 at most' }),
    updated_at: Timestamp
  }, { description: 'Failures by error code' }),
  ChartBulkResult: Type.Object({
    matched: Type.Integer({ minimum: 0, description: 'Tasks that match, of those that were read' }),
    done: Type.Integer({ minimum: 0, description: 'Tasks that were retried or cancelled' }),
    cursor: nullable(Type.String({ description: 'For the next request; null if no tasks are left' })),
    skipped: Type.Array(Type.Object({ task_id: Uuid, code: Type.String() }), { description: 'Why other tasks were skipped, 20 at most' })
  }, { description: 'What has become of the tasks' })
}
