import type { Logger } from '../../generator.ts'
import { ClockWatch } from './clock.ts'
import { within, type RedisClient } from './connections.ts'
import type { Keyspace } from './keys.ts'
import { scripts, type ScriptName } from './scripts.ts'

export type Argument = string | number

export interface ScriptRunnerOptions {
  readonly client: RedisClient
  readonly keys: Keyspace
  readonly logger: Logger | undefined
  readonly now: (() => number) | undefined
  readonly monotonic: (() => number) | undefined
}

/** Runs the Lua scripts. */
export class ScriptRunner {
  readonly #client: RedisClient
  readonly #keys: Keyspace
  readonly #logger: Logger | undefined
  readonly #now: (() => number) | undefined
  readonly #clock: ClockWatch

  constructor ({ client, keys, logger, now, monotonic }: ScriptRunnerOptions) {
    this.#client = client
    this.#keys = keys
    this.#logger = logger
    this.#now = now
    this.#clock = new ClockWatch(monotonic ?? now ?? (() => performance.now()), jump => this.#warnOfJump(jump))
  }

  /** Runs a script with the arguments that its header describes. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  run<T> (name: ScriptName, args: readonly Argument[]): Promise<T> {
    return this.#send(name, this.#keys.declared, [this.#now ? this.#now() : '', ...args])
  }

  /** Runs a script that measures leases. It is given the time that Redis should have; `timeOf` finds in its reply the time that Redis had. */
  async runOnTime<T> (
    name: 'claim' | 'extend' | 'settle' | 'settleAndClaim', args: readonly Argument[], leaseDuration: number, timeOf: (reply: T) => string
  ): Promise<T> {
    const sentAt = this.#clock.now()
    const reply = await this.run<T>(name, [...args, this.#clock.expected()])
    this.#clock.observe(sentAt, Number(timeOf(reply)), leaseDuration)
    return reply
  }

  /** Runs a script that declares no keys and is not given the time. */
  runWithoutKeys<T> (name: ScriptName, args: readonly Argument[]): Promise<T> {
    return this.#send(name, [], args)
  }

  #send<T> (name: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<T> {
    const { sha, source } = scripts[name]
    return within(this.#client, () => this.#client.evalsha(sha, keys.length, ...keys, ...args).catch((error: unknown) => {
      // A restart, a failover or a flush forgets scripts.
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return this.#client.eval(source, keys.length, ...keys, ...args)
    }) as Promise<T>)
  }

  #warnOfJump (jump: number): void {
    const what = jump > 0 ? `forward by ${jump} ms, or this process slept` : `back by ${-jump} ms`
    this.#logger?.warn({ jump }, `Redis' clock was set ${what}: leases and waits are measured by it, let NTP slew it and not step it`)
  }
}
