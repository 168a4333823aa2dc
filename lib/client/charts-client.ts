import type { JsonValue, PublicChartTask } from '../task.ts'
import { openChannel, type Channel, type Watcher } from './channel.ts'
import { ChartsClientError, invalid, valid } from './client-error.ts'
import { batchSource, isFinished, messageSource, type Source } from './sources.ts'
import { createTransport, type ChartsClientOptions, type Outgoing } from './transport.ts'
import type { CallOptions, ChartsClient, CreateOptions, Watch, WatchOptions } from './types.ts'
import { iterate, type WatchStart } from './watch.ts'

/** Maximum number of tasks whose message is remembered, so that a watch can share the connection of the message. */
const MAX_REMEMBERED = 1_000

/** The id in lower case. @throws INVALID_ARGUMENT */
function uuid (name: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[\da-f-]{36}$/i.test(value)) throw invalid(`${name} must be a UUID`)
  return value.toLowerCase()
}

/** Works also in pages without TLS, which have no `crypto.randomUUID`. */
const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join('-')

/**
 * A client for the routes of the plugin, in browsers and in Node. `Params` is what the host's `paramsSchema` takes, `Content` what its
 * generator returns. Watches of one client share connections: make one for the page.
 */
export function createChartsClient<Params = JsonValue, Content = JsonValue> (options: ChartsClientOptions = {}): ChartsClient<Params, Content> {
  const transport = createTransport(options)
  const channels = new Map<string, Channel>()
  const messages = new Map<string, string>()

  function remember ({ task_id, message_id }: PublicChartTask): void {
    // A watch of a forgotten task requests its status first.
    if (messages.size >= MAX_REMEMBERED) messages.clear()
    messages.set(task_id, message_id.toLowerCase())
  }

  async function call<T> (path: string, init: Outgoing, maxAttempts?: number): Promise<T> {
    const answer = await transport.json<{ tasks?: PublicChartTask[], active_tasks?: PublicChartTask[] }>(path, init, maxAttempts)
    for (const task of [answer as PublicChartTask, ...answer.tasks ?? answer.active_tasks ?? []]) if (task.message_id) remember(task)
    return answer as T
  }

  /** Makes a method whose only argument is an id. */
  const byId = <T>(name: string, before: string, after = '', method = 'GET') =>
    async (id: string, { signal }: CallOptions = {}): Promise<T> => call(before + uuid(name, id) + after, { method, signal })

  const post = <T>(path: string, body: object, { idempotencyKey = randomKey(), signal }: CreateOptions) => call<T>(path, {
    method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey }, body: valid('body must be JSON', () => JSON.stringify(body)), signal
  })

  /** Adds a watcher to the channel of a message or batch, which is opened if necessary. */
  function join (source: Source, watcher: Watcher, signal: AbortSignal): void {
    const { stream } = source
    const channel = channels.get(stream) ?? openChannel(transport, source, remember, () => channels.delete(stream))
    channels.set(stream, channel)
    signal.addEventListener('abort', () => channel.remove(watcher))
    channel.add(watcher)
  }

  const watchTask = (task_id: string, options: Pick<WatchStart, 'signal' | 'version'>) => iterate({
    ...options,
    task_id,
    async start (watcher, signal) {
      if (!messages.has(task_id)) watcher.onState(await call(`async/${task_id}/status`, { signal }, Infinity))
      if (!signal.aborted) join(messageSource(messages.get(task_id)!), watcher, signal)
    }
  })

  const watching = (name: string, sourceOf: (id: string) => Source) => (id: string, { signal }: WatchOptions = {}): Watch => {
    const source = sourceOf(uuid(name, id))
    return iterate({ signal, start: async (watcher, signal) => join(source, watcher, signal) })
  }

  const client: ChartsClient<Params, Content> = {
    async generate (body, options = {}) {
      const { onUpdate, signal } = options
      let task: PublicChartTask = await client.create(body, options)
      const { task_id, version } = task
      onUpdate?.(task)
      if (!isFinished(task)) {
        for await (task of watchTask(task_id, { signal, version })) onUpdate?.(task)
      }
      signal?.throwIfAborted()
      if (task.status !== 'COMPLETED') {
        throw new ChartsClientError(task.error_code ?? 'CANCELLED', task.error_message ?? 'Cancelled', { status: 409, task })
      }
      return client.result(task_id, options)
    },
    async create (body, options = {}) {
      uuid('message_id', body?.message_id)
      return post('async', body, options)
    },
    watch: (task_id, { signal } = {}) => watchTask(uuid('task_id', task_id), { signal }),
    watchMessage: watching('message_id', messageSource),
    watchBatch: watching('batch_id', batchSource),
    status: byId('task_id', 'async/', '/status'),
    result: byId('task_id', 'async/', '/result'),
    cancel: byId('task_id', 'async/', '', 'DELETE'),
    async byMessage (message_id, { limit = 50, content = true, signal } = {}) {
      return call(`by-message/${uuid('message_id', message_id)}?limit=${limit}&content=${content}`, { signal })
    },
    async createBatch (tasks, options = {}) {
      valid('tasks must have message_ids', () => tasks.map(({ message_id }) => uuid('message_id', message_id)))
      return post('async/batch', { tasks }, options)
    },
    batch: byId('batch_id', 'async/batch/'),
    cancelBatch: byId('batch_id', 'async/batch/', '', 'DELETE')
  }
  return client
}
