import { randomUUID } from 'node:crypto'
import type { Keyspace } from './keys.ts'
import { duplicate, isReplyError, whenReady, within, type RedisClient } from './connections.ts'

/** ms between proofs that messages arrive, while something is watched and while nothing is, and how long one may take. */
const PING_INTERVAL = { watching: 5_000, idle: 8_000 }
const PING_DEADLINE = 2_000
/** ms before channels that the Redis user may not subscribe to are asked for again. */
const REFUSED_RETRY_MS = 1_000

/**
 * The one subscriber connection of a process. It is up only while messages are known to arrive: it sends itself one
 * through Redis from time to time, because a half-open connection, or a Cluster node that left, says nothing at all.
 */
export class Subscriber {
  readonly #client: RedisClient
  readonly #publish: (channel: string) => Promise<unknown>
  readonly #pingChannel: string
  readonly #channels = new Set<string>()
  readonly #onMessage: (channel: string, message: string) => void
  readonly #onFeed: (up: boolean) => void
  /** Channels that every process listens to. */
  readonly #own: number
  #pinger: NodeJS.Timeout | undefined
  #up = false
  #heard = 0
  #retry: NodeJS.Timeout | undefined
  #pong: (() => void) | null = null

  constructor (
    host: RedisClient,
    publish: (channel: string) => Promise<unknown>,
    keys: Keyspace,
    onMessage: (channel: string, message: string) => void,
    onFeed: (up: boolean) => void
  ) {
    this.#publish = publish
    this.#onMessage = onMessage
    this.#onFeed = onFeed
    this.#pingChannel = keys.ping(randomUUID())
    this.#own = this.#channels.add(this.#pingChannel).add(keys.cancelled).size
    this.#client = duplicate(host, 'subscriber')
    this.#client.on('message', (channel: string, message: string) => {
      this.#heard = performance.now()
      if (channel === this.#pingChannel) this.#pong?.()
      else this.#onMessage(channel, message)
    })
    this.#client.on('ready', () => { void this.#resubscribe() })
    this.#client.on('close', () => {
      clearTimeout(this.#retry)
      this.#set(false)
    })
    this.#pingLater()
  }

  get up (): boolean {
    return this.#up
  }

  async subscribe (channel: string): Promise<boolean> {
    const wasIdle = this.#channels.size === this.#own
    this.#channels.add(channel)
    if (wasIdle) this.#pingLater()
    // Not up: the channel is subscribed with all the others as soon as the connection is back.
    if (!this.#up) return false
    try {
      await within(this.#client, () => this.#client.subscribe(channel))
      return this.#up
    } catch {
      return false
    }
  }

  unsubscribe (channel: string): void {
    this.#channels.delete(channel)
    if (this.#client.status === 'ready') this.#client.unsubscribe(channel).catch(() => {})
  }

  close (): void {
    clearTimeout(this.#pinger)
    clearTimeout(this.#retry)
    this.#client.removeAllListeners('close').removeAllListeners('message')
    this.#client.disconnect()
    this.#up = false
  }

  /** Resolves once messages are known to arrive, or after `timeout` ms. */
  async ready (timeout: number): Promise<void> {
    await whenReady(this.#client, timeout).catch(() => {})
  }

  async #resubscribe (): Promise<void> {
    try {
      // Until none is missing: more may be asked for while the answer is under way.
      const subscribed = new Set<string>()
      for (let missing = [...this.#channels]; missing.length > 0; missing = [...this.#channels].filter(channel => !subscribed.has(channel))) {
        await within(this.#client, () => this.#client.subscribe(...missing))
        for (const channel of missing) subscribed.add(channel)
      }
      this.#heard = performance.now()
      this.#set(true)
    } catch (error) {
      // Refused, not broken: a new connection would be refused as well, again and again.
      if (isReplyError(error)) this.#retry = setTimeout(() => { void this.#resubscribe() }, REFUSED_RETRY_MS).unref()
      else this.#client.disconnect(true)
    }
  }

  get #pingInterval (): number {
    return this.#channels.size > this.#own ? PING_INTERVAL.watching : PING_INTERVAL.idle
  }

  #pingLater (): void {
    clearTimeout(this.#pinger)
    this.#pinger = setTimeout(() => {
      this.#pingLater()
      void this.#ping()
    }, this.#pingInterval).unref()
  }

  async #ping (): Promise<void> {
    if (!this.#up || performance.now() - this.#heard < this.#pingInterval / 2) return
    const arrived = new Promise<boolean>(resolve => {
      this.#pong = () => resolve(true)
      setTimeout(resolve, PING_DEADLINE, false).unref()
    })
    const sent = await this.#publish(this.#pingChannel).then(() => true, () => false)
    if (sent && await arrived) return
    this.#set(false)
    this.#client.disconnect(true)
  }

  #set (up: boolean): void {
    if (this.#up === up) return
    this.#up = up
    this.#onFeed(up)
  }
}
