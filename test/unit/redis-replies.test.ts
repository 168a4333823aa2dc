import t from 'tap'
import type { Claim } from '../../lib/store/task-store.ts'
import type { TaskDraft } from '../../lib/store/task-store.ts'
import { errors } from '../../lib/errors.ts'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import type { RedisClient } from '../../lib/store/redis/connections.ts'
import { Enqueuer } from '../../lib/store/redis/enqueue.ts'
import { keyspace } from '../../lib/store/redis/keys.ts'
import { RedisLeases } from '../../lib/store/redis/leases.ts'
import { checkAccess, checkEviction } from '../../lib/store/redis/readiness.ts'
import type { ScriptRunner } from '../../lib/store/redis/script-runner.ts'
import type { ScriptName } from '../../lib/store/redis/scripts.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

/** What scripts reply, or fail with, in place of Redis. */
function replying (replies: Partial<Record<ScriptName, unknown>>): ScriptRunner {
  const run = async (name: ScriptName) => {
    const reply = replies[name]
    if (reply instanceof Error) throw reply
    return reply
  }
  return { run, runOnTime: run, runWithoutKeys: run } as unknown as ScriptRunner
}

const unavailable = new errors.CHARTS_ERR_STORE_UNAVAILABLE()
const claim: Claim = { worker_id: 'worker', claim_id: 'claim', count: 1, leaseDuration: 1_000, runningPerTenant: 0, beside: 0 }

t.test('a duplicate that is lost before it is read is no answer', async t => {
  let draft!: TaskDraft
  await Scene.play(async ({ now }) => memoryStore({ now }), async scene => { draft = scene.draft() })
  const enqueuer = new Enqueuer(replying({ enqueue: [['accepted', [['already_active', draft.task_id]]]], read: [null] }))
  await t.rejects(enqueuer.one(draft), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
})

t.test('unreadable tasks that cannot be failed are left to the end of their leases', async t => {
  const logger = recordingLogger()
  const runner = replying({ claim: [[['no record', 1]], [], -1, '0', 0, []], failUnreadable: unavailable })
  t.strictSame(await new RedisLeases(runner, logger).claim(claim), { tasks: [], lost: [], due: null, expired: [] })
  t.match(logger.lines, [{ level: 'warn', details: { err: unavailable }, message: /unreadable requests could not be failed/ }])
})

t.test('a settlement that does not reach Redis fails, and is not repeated without its claim', async t => {
  const leases = new RedisLeases(replying({ settleAndClaim: unavailable, settle: [] }), undefined)
  await t.rejects(leases.settle([{ task_id: 'task', lease: 1, verb: 'release' }], claim), unavailable)
})

t.test('checks that Redis does not answer fail', async t => {
  const client = { status: 'ready', info: async () => { throw new Error('closed') } } as unknown as RedisClient
  await t.rejects(checkAccess({ host: client, keys: keyspace('test'), runner: replying({ access: unavailable }), logger: undefined }), unavailable)
  await t.rejects(checkEviction({ client, logger: undefined }), { code: 'CHARTS_ERR_STORE_UNAVAILABLE', cause: { message: 'closed' } })
})
