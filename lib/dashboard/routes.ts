import { createHash } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ChartQueueService } from '../chart-queue-service.ts'
import { errors } from '../errors.ts'
import { checkMonitor, identifyCallers, mayMonitor, type AccessHooks, type Operation } from '../http/access.ts'
import { sendJson } from '../http/replies.ts'
import { parseBodies } from '../http/body-parsers.ts'
import { budgetOf, budgetRequests } from '../http/store-budget.ts'
import { matchesEtag } from '../http/etag.ts'
import type { BulkFilter } from '../service/bulk.ts'
import { ChartStatus } from '../task.ts'
import { findAsset } from './assets.ts'
import { countMatching } from './count-matching.ts'
import { documentOf, shell, titleOf } from './document.ts'
import { filterOf } from './filter.ts'
import { failures } from './pages/failures.ts'
import { overview } from './pages/overview.ts'
import { problem } from './pages/problem.ts'
import { task } from './pages/task.ts'
import { tasks } from './pages/tasks.ts'
import { workers } from './pages/workers.ts'
import type { Page, Section, Source, Viewer } from './viewer.ts'

export interface DashboardRoutesOptions {
  readonly service: ChartQueueService
  readonly hooks: AccessHooks
  readonly readOnly: boolean
}

const HEADERS = {
  'cache-control': 'private, no-cache',
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff'
}

const READING: readonly Operation[] = ['stats', 'history', 'list', 'inspect', 'workers', 'failures']
const CHANGING: readonly Operation[] = ['retry', 'cancel', 'pause', 'resume']

/** `Retry-After` in seconds while the store is unavailable. */
const RETRY_UNAVAILABLE = 2
/** Maximum bytes of a body: enough for a filter with 100 ids. */
const MAX_BODY_BYTES = 16_384
/** Tasks per bulk call: few enough for the page to show progress. */
const BULK_SIZE = 100

type TaskRequest = FastifyRequest<{ Params: { task_id: string } }>

/** Keeps routes out of the host's OpenAPI document: only the pages call them. */
const hidden = { schema: { hide: true } as object }

/** The routes of the dashboard: pages, assets and actions. */
export async function dashboardRoutes (fastify: FastifyInstance, options: DashboardRoutesOptions): Promise<void> {
  fastify.addHook('onRequest', async (_request, reply) => { reply.headers(HEADERS) })
  // Assets need no identity: the page that asks users to sign in loads them too, and they contain only code of this package.
  fastify.get<{ Params: { file: string } }>('/assets/:file', hidden, async (request, reply) => {
    const asset = findAsset(request.params.file)
    if (!asset) return reply.callNotFound()
    if (asset.isCurrent) reply.header('cache-control', 'public, max-age=31536000, immutable')
    return reply.type(asset.type).send(asset.content)
  })
  await fastify.register(async scope => guardedRoutes(scope, options))
}

async function guardedRoutes (fastify: FastifyInstance, { service, hooks, readOnly }: DashboardRoutesOptions): Promise<void> {
  const { authorize } = hooks
  parseBodies(fastify)
  // Only pages of the dashboard send requests here, whatever other origins `stream.allowedOrigins` names.
  identifyCallers(fastify, hooks.identify, 'same-origin')
  budgetRequests(fastify)
  fastify.addHook('onSend', async (_request, reply) => {
    const vary = reply.getHeader('vary')
    reply.header('vary', vary === undefined ? 'accept' : `${vary}, accept`)
  })
  fastify.setErrorHandler(async (error: Error & { code?: string, statusCode?: number }, request, reply) => {
    const { code = '', statusCode = 500, message } = error
    // Errors of the host's own hooks, and unexpected ones, go to the host's error handler.
    if (!/^(?:CHARTS|FST)_ERR_/.test(code) || (statusCode >= 500 && statusCode !== 503)) throw error
    reply.code(statusCode)
    if (statusCode === 503) reply.header('retry-after', RETRY_UNAVAILABLE)
    if (request.method !== 'GET' || wantsJson(request)) return sendJson(reply, { statusCode, code, error: STATUS_CODES[statusCode], message })
    const viewer = { root: rootOf(request, fastify.prefix), may: () => false }
    return reply.type('text/html; charset=utf-8').send(documentOf(viewer, null, problem(viewer.root, statusCode, message), ''))
  })

  const source = (request: FastifyRequest): Source => ({ service, read: work => budgetOf(request).spend(work) })

  async function viewerOf (request: FastifyRequest): Promise<Viewer> {
    const asked = readOnly ? READING : [...READING, ...CHANGING]
    const allowed = await Promise.all(asked.map(operation => mayMonitor(authorize, request, operation)))
    const may = new Set(asked.filter((_, i) => allowed[i]))
    return { root: rootOf(request, fastify.prefix), may: operation => may.has(operation) }
  }

  function page (url: string, section: Section, operation: Operation, build: (viewer: Viewer, source: Source, request: FastifyRequest) => Promise<Page>): void {
    fastify.get(url, hidden, async (request, reply) => {
      const viewer = await viewerOf(request)
      if (!viewer.may(operation)) throw new errors.CHARTS_ERR_FORBIDDEN()
      return sendPage(request, reply, viewer, section, await build(viewer, source(request), request))
    })
  }

  page('/', 'overview', 'stats', (viewer, source, request) => overview(viewer, source, queryOf(request)))
  page('/tasks', 'tasks', 'list', (viewer, source, request) => tasks(viewer, source, queryOf(request)))
  page('/tasks/:task_id', 'tasks', 'inspect', (viewer, source, request) => task(viewer, source, (request as TaskRequest).params.task_id))
  page('/workers', 'workers', 'workers', workers)
  page('/failures', 'failures', 'failures', (viewer, source, request) => failures(viewer, source, queryOf(request)))

  // A form without the script sends its field in the query; this redirects to the path of the task.
  fastify.get('/find', hidden, async (request, reply) => {
    const task_id = queryOf(request).get('id')?.trim() ?? ''
    return reply.redirect(`${rootOf(request, fastify.prefix)}tasks/${encodeURIComponent(task_id)}`, 303)
  })

  fastify.get('/tasks/:task_id/chart', hidden, async (request: TaskRequest, reply) => {
    await checkMonitor(authorize, request, 'inspect')
    const { read } = source(request)
    const found = await read(() => service.getTaskStatus(request.params.task_id))
    if (!found) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    const chart = found.status === ChartStatus.COMPLETED ? await read(() => service.getChart(found)) : null
    if (!chart) throw new errors.CHARTS_ERR_RESULT_EXPIRED()
    return reply.type('application/json; charset=utf-8').send(JSON.stringify(chart.content, null, 2))
  })

  fastify.get('/tasks/count', hidden, async (request, reply) => {
    await checkMonitor(authorize, request, 'list')
    const query = queryOf(request)
    return sendJson(reply, await countMatching(source(request), actionOf(query.get('action')), filterOf(query), query.get('cursor')))
  })

  function action<Answer extends object> (url: string, operation: Operation, act: (request: FastifyRequest) => Promise<Answer>): void {
    fastify.post(url, { ...hidden, bodyLimit: MAX_BODY_BYTES }, async (request, reply) => {
      if (readOnly) throw new errors.CHARTS_ERR_READ_ONLY()
      await checkMonitor(authorize, request, operation)
      return sendJson(reply, await budgetOf(request).spend(() => act(request)))
    })
  }

  action('/pause', 'pause', async () => {
    await service.pauseQueue()
    return { paused: true }
  })
  action('/resume', 'resume', async () => {
    await service.resumeQueue()
    return { paused: false }
  })
  action('/tasks/:task_id/retry', 'retry', async request => {
    const retried = await service.retryTask((request as TaskRequest).params.task_id)
    if (!retried) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return { task_id: retried.task.task_id, outcome: retried.outcome }
  })
  action('/tasks/:task_id/cancel', 'cancel', async request => {
    const cancelled = await service.cancelTask((request as TaskRequest).params.task_id)
    if (!cancelled) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    if (cancelled.status !== ChartStatus.CANCELLED) throw new errors.CHARTS_ERR_TASK_FINISHED()
    return { task_id: cancelled.task_id }
  })
  action('/tasks/retry', 'retry', request => service.retryTasks(...bulkOf(request)))
  action('/tasks/cancel', 'cancel', request => service.cancelTasks(...bulkOf(request)))
}

const queryOf = ({ url }: FastifyRequest): URLSearchParams => new URLSearchParams(url.split('?').slice(1).join('?'))

const pathOf = ({ originalUrl }: FastifyRequest): string => originalUrl.split('?', 1)[0]!

/**
 * The relative path from the address in the browser to the root of the dashboard. The server knows only the end of that address:
 * parameters of the prefix and proxies decide what comes before it.
 */
function rootOf (request: FastifyRequest, prefix: string): string {
  const path = pathOf(request)
  const depth = request.routeOptions.url!.slice(prefix.length).split('/').filter(name => name !== '').length
  if (depth === 0) return path.endsWith('/') ? './' : `./${path.slice(path.lastIndexOf('/') + 1)}/`
  // With `ignoreTrailingSlash` in the host, the path may end with a slash: one level more.
  return '../'.repeat(path.endsWith('/') ? depth : depth - 1) || './'
}

/** The script asks for JSON, the browser itself for a document. */
const wantsJson = ({ headers: { accept = '' } }: FastifyRequest): boolean => accept.includes('application/json') && !accept.includes('text/html')

function sendPage (request: FastifyRequest, reply: FastifyReply, viewer: Viewer, section: Section, page: Page): FastifyReply {
  const body = JSON.stringify({ title: titleOf(page), every: page.every, page: shell(viewer, section, page) })
  const etag = `W/"${createHash('sha1').update(body).digest('base64url')}"`
  if (!wantsJson(request)) return reply.type('text/html; charset=utf-8').send(documentOf(viewer, section, page, etag))
  reply.header('etag', etag)
  const known = request.headers['if-none-match']
  return known !== undefined && matchesEtag(known, etag) ? reply.code(304).send() : reply.type('application/json; charset=utf-8').send(body)
}

const invalid = (message: string) => new errors.CHARTS_ERR_INVALID_REQUEST(message)

function actionOf (name: string | null): 'retry' | 'cancel' {
  if (name !== 'retry' && name !== 'cancel') throw invalid('action must be one of retry, cancel')
  return name
}

/** The filter and the cursor of a bulk action. The service checks what is in the filter. */
function bulkOf ({ body }: FastifyRequest): [filter: BulkFilter, options: { limit: number, cursor?: string }] {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('body must be object')
  const { filter, cursor = null, ...others } = body as Record<string, unknown>
  const unknown = Object.keys(others)[0]
  if (unknown !== undefined) throw invalid(`body must not have ${unknown}`)
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) throw invalid('body/filter must be object')
  if (cursor !== null && typeof cursor !== 'string') throw invalid('body/cursor must be string')
  return [filter, { limit: BULK_SIZE, ...(cursor !== null && { cursor }) }]
}
