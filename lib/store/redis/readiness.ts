import type { Logger } from '../../generator.ts'
import { accessArguments, missingRules } from './access.ts'
import { isReplyError, userOf, within, type RedisClient } from './connections.ts'
import type { Keyspace } from './keys.ts'
import type { ScriptRunner } from './script-runner.ts'

interface Checked {
  /** The host's own client: its user is the one that needs the permissions. */
  readonly host: RedisClient
  readonly client: RedisClient
  readonly keys: Keyspace
  readonly runner: ScriptRunner
  readonly logger: Logger | undefined
}

/** Warns of what the Redis user may not do. Without this, calls fail at any later time, and half-way. */
export async function checkAccess ({ host, keys: { prefix }, runner, logger }: Omit<Checked, 'client'>): Promise<void> {
  let missing
  try {
    missing = missingRules(prefix, await runner.runWithoutKeys<string[]>('access', accessArguments(prefix)))
  } catch (error) {
    if (!isReplyError(error, 'NOPERM')) throw error
    missing = ['+evalsha', '+eval']
  }
  if (missing.length === 0) return
  const grant = `ACL SETUSER ${userOf(host)} ${missing.join(' ')}`
  logger?.warn({ missing, grant }, `the Redis user lacks permissions that the queue needs, charts will fail: ${grant}`)
}

/** Warns if Redis may evict keys. */
export async function checkEviction ({ client, logger }: Pick<Checked, 'client' | 'logger'>): Promise<void> {
  let memory
  try {
    memory = await within(client, () => client.info('memory'))
  } catch (error) {
    // `checkAccess` warns of the missing permission.
    if (isReplyError(error, 'NOPERM')) return
    throw error
  }
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1]
  if (policy && policy !== 'noeviction') {
    logger?.warn({ policy }, 'Redis may evict tasks: set maxmemory-policy to noeviction')
  }
}
