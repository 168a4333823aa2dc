import type { Cluster, Redis } from 'ioredis'
import { errors } from '../../errors.ts'

/** What a host may inject: a client it owns. */
export type RedisClient = Redis | Cluster

/** How long a command may take, reconnecting included (ms): with it, a route answers 503 within two seconds. */
const COMMAND_DEADLINE = 1_500

const isCluster = (client: RedisClient): client is Cluster => 'isCluster' in client && client.isCluster === true

/**
 * A duplicate of the host's client, with the settings that this package depends on. Nothing is queued or sent again
 * behind our back: ioredis would do both after the caller has given up. The host's client itself is never touched.
 */
export function duplicate (host: RedisClient, name: string): RedisClient {
  const reconnect = (times: number) => Math.min(50 * 2 ** Math.min(times, 5), 1_000)
  const settings = {
    keyPrefix: '',
    stringNumbers: false,
    replyMapping: 'legacy' as const,
    connectionName: `async-charts:${name}`,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // A host's time-outs would cut a connection that is meant to wait.
    commandTimeout: undefined,
    socketTimeout: undefined,
    blockingTimeout: undefined,
    maxRetriesPerRequest: 0,
    enableReadyCheck: true,
    readOnly: false,
    monitor: false,
    enableAutoPipelining: false,
    connectTimeout: 2_000,
    // A replica that was promoted away answers READONLY for ever: connecting again finds the new master.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY')
  }
  const client = isCluster(host)
    ? host.duplicate([], {
      keyPrefix: '',
      enableOfflineQueue: false,
      lazyConnect: true,
      scaleReads: 'master',
      clusterRetryStrategy: reconnect,
      redisOptions: settings
    })
    : host.duplicate({ ...settings, enableOfflineQueue: false, lazyConnect: true, retryStrategy: reconnect, sentinelRetryStrategy: reconnect })
  // Without a listener, ioredis prints every failed attempt to connect.
  client.on('error', () => {})
  client.connect().catch(() => {})
  return client
}

/** Resolves when the client is ready; rejects after `timeout` ms, or when it is closed for good. */
export function whenReady (client: RedisClient, timeout: number): Promise<void> {
  if (client.status === 'ready') return Promise.resolve()
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => () => {
      clearTimeout(timer)
      client.off('ready', ready)
      client.off('end', giveUp)
      act()
    }
    const ready = settle(resolve)
    const giveUp = settle(() => reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE()))
    const timer = setTimeout(giveUp, timeout)
    client.once('ready', ready)
    client.once('end', giveUp)
  })
}

/**
 * Runs one command within the deadline; waits for the connection where it is being made. Whatever goes wrong is
 * `CHARTS_ERR_STORE_UNAVAILABLE` with the reason as its cause: unreachable, full, loading, read-only.
 */
export async function within<T> (client: RedisClient, command: () => Promise<T>, deadline = COMMAND_DEADLINE): Promise<T> {
  const begin = performance.now()
  if (client.status !== 'ready') await whenReady(client, deadline)
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      command(),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error('no answer in time')), deadline - (performance.now() - begin))
      })
    ])
  } catch (error) {
    throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause: error })
  } finally {
    clearTimeout(timer)
  }
}
