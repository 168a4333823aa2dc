import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MessageListing } from '../../service/message-listing.ts'
import type { OpenAnswers } from '../../service/open-answers.ts'
import type { ChartTask, StoredTask } from '../../task.ts'
import { callerOf } from '../access.ts'
import { chartJson, listPieces } from '../large-responses.ts'
import { publicTask } from '../projections.ts'
import type { Route, RouteContext } from '../route.ts'
import { MessageParams, MessageQuery } from '../schemas/requests.ts'
import { body, refused, withHeaders } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'

type MessageRequest = FastifyRequest<{ Params: { message_id: string }, Querystring: { limit: number, content: boolean } }>

/** The routes of a message. */
export const messageRoutes: readonly Route[] = [
  {
    name: 'getMessageCharts',
    method: 'GET',
    url: '/charts/by-message/:message_id',
    summary: "Get a message's charts and active tasks",
    schema: {
      params: MessageParams,
      querystring: MessageQuery,
      response: { 200: withHeaders(body('MessageCharts'), 'Stream-Cursor'), ...refused(400, 401, 404, 503) }
    },
    handler: getMessageCharts
  }
]

async function getMessageCharts ({ queue: { answers }, access, largeResponses }: RouteContext, request: MessageRequest, reply: FastifyReply): Promise<FastifyReply> {
  const message_id = request.params.message_id.toLowerCase()
  await access.checkMessage(request, message_id)
  const caller = callerOf(request)
  const budget = budgetOf(request)
  const mayRead = (task: ChartTask | null) => budget.exempt(() => access.mayRead(request, message_id, task))
  return largeResponses.send(caller.user_id, reply, async function * () {
    const listing = await answers.message(message_id, caller, { ...request.query, mayRead })
    // A stream of the message that starts with this cursor continues without a gap.
    reply.header('stream-cursor', listing.cursor)
    yield * messagePieces(answers, listing)
  })
}

/** The JSON of a message. Its order is that of the listing, which must be read in order. */
async function * messagePieces (answers: OpenAnswers, listing: MessageListing): AsyncGenerator<string, void, void> {
  let hasActive = false
  yield '{"active_tasks":['
  for await (const piece of listPieces(withEstimates(answers, listing.active()), taskJson)) {
    hasActive = true
    yield piece
  }
  yield `],"has_active_tasks":${hasActive},"failed_tasks":[`
  yield * listPieces(listing.failed(), taskJson)
  yield '],"charts":['
  yield * listPieces(oneByOne(listing.charts()), chartJson)
  yield `],"content_complete":${listing.contentComplete}}`
}

const taskJson = (task: ChartTask): string => JSON.stringify(publicTask(task))

async function * withEstimates (answers: OpenAnswers, slices: AsyncIterable<StoredTask[]>) {
  for await (const tasks of slices) yield await answers.estimated(tasks)
}

async function * oneByOne<T> (items: AsyncIterable<T>) {
  for await (const item of items) yield [item]
}
