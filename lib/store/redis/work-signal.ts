import { setTimeout as delay } from 'node:timers/promises'
import { duplicate, whenReady, type RedisClient } from './connections.ts'
import type { Keyspace } from './keys.ts'

/** ms that a blocking command may be late before its connection is given up. */
const OVERDUE_MS = 2_000
/** ms before the next wait after a connection was lost. */
const RETRY_MS = 200

/** Waits for the marker that says that there is work, on a connection of its own. */
export class WorkSignal {
  readonly #host: RedisClient
  readonly #keys: Keyspace
  #client: RedisClient | null = null

  constructor (host: RedisClient, keys: Keyspace) {
    this.#host = host
    this.#keys = keys
  }

  async wait (timeout: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const client = this.#client ??= duplicate(this.#host, 'blocking')
    const giveUp = () => {
      client.disconnect(!signal.aborted)
      // The next wait opens another connection.
      if (signal.aborted && this.#client === client) this.#client = null
    }
    const watchdog = setTimeout(giveUp, timeout + OVERDUE_MS)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      await whenReady(client, timeout)
      await client.blpop(this.#keys.workSignal, Math.max(0.01, timeout / 1000))
    } catch {
      // The connection was lost. The caller then asks for work, and finds out whether the store is available again.
      await delay(Math.min(timeout, RETRY_MS), undefined, { signal }).catch(() => {})
    } finally {
      clearTimeout(watchdog)
      signal.removeEventListener('abort', giveUp)
    }
  }

  close (): void {
    this.#client?.disconnect()
  }
}
