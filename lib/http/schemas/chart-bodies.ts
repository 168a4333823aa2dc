import { Type } from '@sinclair/typebox'
import { ChartPriority, ChartSchema, ChartStatus, ChartTaskSchema, ChartVisibility, Uuid } from '../../task.ts'
import { extended, message, oneOf, ref } from './building-blocks.ts'

const visibility = ref('ChartVisibility')
const chart = { ...ChartSchema.properties, visibility }
// Not `patternProperties`, which OpenAPI 3.0 does not have.
const stepProgress = Type.Object({}, { additionalProperties: Type.Integer({ minimum: 0, maximum: 100 }), description: 'The progress of each step that the generator has reported' })

/** The bodies of responses to users, by the names that they have in the host's OpenAPI document. */
export const chartBodies = {
  ChartStatus: oneOf(Object.values(ChartStatus), 'COMPLETED, FAILED and CANCELLED are final'),
  ChartVisibility: oneOf(Object.values(ChartVisibility), 'Who may read the finished chart by its result route'),
  ChartPriority: oneOf(Object.values(ChartPriority), 'Which tasks go first'),
  ChartTask: Type.Object({ ...ChartTaskSchema.properties, status: ref('ChartStatus'), visibility, step_progress: stepProgress }, { description: 'A requested chart and its progress' }),
  AnsweredChartTask: extended('ChartTask', { message }, 'A task, and what has become of the request'),
  Chart: Type.Object(chart, { description: 'A finished chart; `content` is what the generator returned' }),
  ListedChart: Type.Object({ ...chart, content: Type.Optional(chart.content) }, { description: 'A finished chart, with its `content` if that was asked for' }),
  MessageCharts: Type.Object({
    charts: Type.Array(ref('ListedChart')),
    active_tasks: Type.Array(ref('ChartTask')),
    has_active_tasks: Type.Boolean(),
    failed_tasks: Type.Array(ref('ChartTask')),
    content_complete: Type.Boolean({ description: '`false`: the contents exceed 8 MiB, and those of the oldest charts are left out' })
  }, { description: 'The charts of a message, and its tasks that are active or have failed; newest first' }),
  Batch: Type.Object({
    batch_id: Uuid,
    total: Type.Integer(),
    counts: Type.Object(Object.fromEntries(Object.values(ChartStatus).map(status => [status, Type.Integer()])), { description: 'Number of tasks by status' }),
    progress: Type.Integer({ minimum: 0, maximum: 100, description: 'The average of all tasks' }),
    tasks: Type.Array(ref('ChartTask'), { description: 'The tasks that are still kept, in the order of the request' })
  }, { description: 'Charts that were requested together' }),
  CreatedBatch: Type.Object({ batch_id: Uuid, tasks: Type.Array(ref('AnsweredChartTask'), { description: 'In the order of the request' }) }, { description: 'A batch that was accepted' }),
  ChartUpdate: Type.Object({
    type: Type.Unsafe<'status_update'>({ type: 'string', enum: ['status_update'] }),
    data: ref('ChartTask')
  }, { description: 'The `data` of a server-sent event: the current state of the whole task' }),
  Error: Type.Object({
    statusCode: Type.Integer(),
    code: Type.String({ description: 'Stable, for programs' }),
    error: Type.String({ description: 'The name of the status' }),
    message: Type.String({ description: 'For people' })
  }, { description: 'Why a request was refused' })
}
