import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions, type InjectOptions } from 'fastify'
import { Redis } from 'ioredis'
import asyncCharts, {
  memoryStore, type AsyncChartsOptions, type ChartQueueService, type CreateChartRequest, type Identity, type JsonValue, type PublicChartTask
} from '../../lib/index.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from './redis.ts'

export type StoreKind = 'memory' | 'redis'
/** What a route does must not depend on where the tasks live. */
export const storeKinds: readonly StoreKind[] = process.env['TEST_STORES'] === 'memory' ? ['memory'] : ['memory', 'redis']

export interface HostOptions extends Partial<Omit<AsyncChartsOptions, 'prefix'>> {
  prefix?: string
  /** Of the Fastify instance itself. */
  fastify?: FastifyServerOptions
  /** What the host does before it registers the plugin. */
  before?: (app: FastifyInstance) => unknown
  /** The time in ms, in place of the store's own. */
  now?: () => number
}

interface Test {
  readonly name: string
  teardown (ended: () => unknown): unknown
}

type Outcome = { content: JsonValue } | { error: unknown }

/** `ada@acme` is the user ada of the org acme, `ada` one without an org; from a header, else from a cookie. */
export function identify (request: FastifyRequest): Identity | null {
  const header = request.headers['x-user']
  const user = typeof header === 'string' ? header : /(?:^|; )user=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]
  const [user_id, org_id = null] = user?.split('@') ?? []
  return user_id ? { user_id, org_id } : null
}

/** A Fastify application with the plugin, closed with the test, its keys removed. */
export async function startHost (t: Test, kind: StoreKind, options: HostOptions = {}): Promise<Host> {
  const { fastify, before, now, prefix = '/api/v1/analytics', ...given } = options
  const keyPrefix = uniquePrefix(t)
  const redis = kind === 'redis' ? new Redis(await redisUrl()) : null
  const store = redis ? now && new RedisStore({ redis, keyPrefix, now }) : memoryStore({ now })
  const app = Fastify(fastify)
  t.teardown(async () => {
    await app.close()
    await store?.close()
    if (!redis) return
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await before?.(app)
  const place = store ? { store } : { redis: redis! }
  await app.register(asyncCharts, { identify, keyPrefix, prefix, ...(given.store || given.redis ? {} : place), ...given })
  return new Host(app, keyPrefix, redis, prefix)
}

/** The application, and both sides of it: who asks for charts, and who makes them. */
export class Host {
  readonly app: FastifyInstance
  readonly keyPrefix: string
  /** A connection of the host's own; null where tasks live in memory. */
  readonly redis: Redis | null
  readonly path: string
  readonly #leases = new Map<string, number>()

  constructor (app: FastifyInstance, keyPrefix: string, redis: Redis | null, prefix: string) {
    this.app = app
    this.keyPrefix = keyPrefix
    this.redis = redis
    this.path = `${prefix}/charts`
  }

  get service (): ChartQueueService {
    return this.app.asyncCharts
  }

  as (user: string): Caller {
    return new Caller(this, { 'x-user': user })
  }

  get nobody (): Caller {
    return new Caller(this, {})
  }

  /** The address of the charts on a port of its own. */
  async listen (): Promise<string> {
    const address = await this.app.listen({ port: 0, host: '127.0.0.1' })
    return `${address}${this.path}`
  }

  /** Claims the task as a worker does; returns its lease. */
  async take (task_id: string): Promise<number> {
    while (!this.#leases.has(task_id)) {
      const taken = await this.service.dequeueChartTask()
      if (!taken) throw new Error(`${task_id} is not waiting`)
      this.#leases.set(taken.task.task_id, taken.lease)
    }
    return this.#leases.get(task_id)!
  }

  /** Ends the task as a worker does. */
  async finish (task_id: string, outcome: Outcome): Promise<void> {
    const lease = await this.take(task_id)
    if (!await this.service.completeTask(task_id, lease, outcome)) throw new Error(`${task_id} could not be finished`)
  }

  async progress (task_id: string, update: Parameters<ChartQueueService['updateTaskProgress']>[2]): Promise<void> {
    const lease = await this.take(task_id)
    if (!await this.service.updateTaskProgress(task_id, lease, update)) throw new Error(`${task_id} could not be updated`)
  }
}

/** Somebody who asks; every path starts behind `/charts`. */
export class Caller {
  readonly headers: Record<string, string>
  readonly #host: Host

  constructor (host: Host, headers: Record<string, string>) {
    this.#host = host
    this.headers = headers
  }

  request (method: 'GET' | 'HEAD' | 'POST' | 'DELETE', path: string, { headers, payload }: Pick<InjectOptions, 'headers' | 'payload'> = {}) {
    return this.#host.app.inject({
      method, url: `${this.#host.path}${path}`, headers: { ...this.headers, ...headers }, ...(payload === undefined ? {} : { payload })
    })
  }

  get (path: string, headers: Record<string, string> = {}) {
    return this.request('GET', path, { headers })
  }

  delete (path: string) {
    return this.request('DELETE', path)
  }

  post (body: unknown, headers?: Record<string, string>) {
    const text = typeof body === 'string'
    return this.request('POST', '/async', {
      headers: { 'content-type': 'application/json', ...headers }, payload: text ? body : JSON.stringify(body)
    })
  }

  /** A task that was accepted. */
  async create (body: Partial<CreateChartRequest> = {}): Promise<PublicChartTask & { message: string }> {
    const response = await this.post({ message_id: crypto.randomUUID(), ...body })
    if (response.statusCode !== 202) throw new Error(`not accepted: ${response.body}`)
    return response.json()
  }

  /** A task that has ended. */
  async finished (outcome: Outcome, body?: Partial<CreateChartRequest>): Promise<PublicChartTask> {
    const { task_id } = await this.create(body)
    await this.#host.finish(task_id, outcome)
    return (await this.get(`/async/${task_id}/status`)).json()
  }
}
