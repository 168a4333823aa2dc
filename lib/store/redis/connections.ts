import type { Cluster, Redis } from 'ioredis'
import { errors } from '../../errors.ts'

/** What a host may inject: a client it owns. */
export type RedisClient = Redis | Cluster

/** How long a command may take, reconnecting included (ms): with it, a route answers 503 within two seconds. */
const COMMAND_DEADLINE = 1_500
/** How long a connection may owe an answer until it is taken for dead (ms); one that is being made, until it is ready. */
const SILENCE = { answer: 1_000, ready: 2_000 }
/** ms between two attempts to connect, at most: what a process missed meanwhile (a cancel) must reach it within a second. */
const MAX_RECONNECT_DELAY_MS = 500

/** Why a client is not connected: who waits for it in vain is told. */
const faults = new WeakMap<RedisClient, Error>()

/** When a client has last been answered: what is slow, but speaks, is not dead. */
const heard = new WeakMap<RedisClient, number>()

const isCluster = (client: RedisClient): client is Cluster => 'isCluster' in client && client.isCluster === true

/** The Redis user that a client works as. */
export function userOf (client: RedisClient): string {
  const { username } = isCluster(client) ? client.options.redisOptions ?? {} : client.options
  return username ?? 'default'
}

/**
 * A duplicate of the host's client, with the settings that this package depends on. Nothing is queued or sent again
 * behind our back: ioredis would do both after the caller has given up. The host's client itself is never touched.
 */
export function duplicate (host: RedisClient, name: string): RedisClient {
  const reconnect = (times: number) => Math.min(50 * 2 ** Math.min(times, 5), MAX_RECONNECT_DELAY_MS)
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
    // A dead connection does not say good-bye: until this has passed, there is no new one.
    disconnectTimeout: 200,
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
  client.on('error', (error: Error) => faults.set(client, error))
  client.on('ready', () => faults.delete(client))
  // Every command waits for the connection that is being made: that they are many is no leak.
  client.setMaxListeners(0)
  client.on('connect', () => {
    // What accepts a connection and then says nothing would be waited for without end.
    const giveUp = setTimeout(() => { if (client.status === 'connect') client.disconnect(true) }, SILENCE.ready).unref()
    const settle = () => {
      clearTimeout(giveUp)
      client.off('ready', settle)
      client.off('close', settle)
    }
    client.on('ready', settle)
    client.on('close', settle)
  })
  client.connect().catch(() => {})
  return client
}

/** Whether what `within` has thrown is Redis' own refusal, one that begins with `code`. */
export function isReplyError (error: unknown, code = ''): boolean {
  const { cause } = error as Error
  return cause instanceof Error && cause.name === 'ReplyError' && cause.message.startsWith(code)
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
    const giveUp = settle(() => reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause: faults.get(client) })))
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
  if (client.status === 'ready') return answerOf(client, command, deadline)
  const begin = performance.now()
  await whenReady(client, deadline)
  // In whole ms: Node keeps a list of timers for each duration.
  return answerOf(client, command, Math.ceil(deadline - (performance.now() - begin)))
}

function answerOf<T> (client: RedisClient, command: () => Promise<T>, deadline: number): Promise<T> {
  const sent = performance.now()
  return new Promise((resolve, reject) => {
    let isSettled = false
    const refuse = (cause: unknown) => reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause }))
    const giveUp = () => {
      if (isSettled) return
      refuse(new Error('no answer in time'))
      // It may have died without a word, which TCP finds out after a quarter of an hour. A new one shows.
      const since = Math.max(sent, heard.get(client) ?? 0)
      if (client.status === 'ready' && performance.now() - since >= SILENCE.answer) client.disconnect(true)
    }
    const answered = command()
    // Where this process was busy itself, the answer has come by now and is about to be read.
    const timer = setTimeout(() => setImmediate(giveUp), deadline)
    const settle = () => {
      isSettled = true
      clearTimeout(timer)
      heard.set(client, performance.now())
    }
    answered.then(answer => {
      settle()
      resolve(answer)
    }, error => {
      settle()
      refuse(error)
    })
  })
}
