import t from 'tap'
import type { Leases, LeasesClaim } from '../../lib/service/leases.ts'
import { QueueTimeoutSweep } from '../../lib/service/queue-timeout-sweep.ts'
import { until } from '../helpers/gate.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

t.test('a sweep that the store does not answer is repeated as it was, and one that it answers is not', async t => {
  const claims: string[] = []
  const settle = async (_settlements: unknown, { claim_id }: LeasesClaim) => {
    if (claims.push(claim_id) === 1) throw new Error('away')
  }
  const logger = recordingLogger()
  const sweep = new QueueTimeoutSweep({ settle } as unknown as Leases, { queueTimeout: 1, leaseDuration: 1_000, logger })
  await until(() => claims.length === 3)
  await sweep.stop()
  t.equal(claims[1], claims[0])
  t.not(claims[2], claims[1])
  t.match(logger.lines, [{ level: 'debug', details: { err: { message: 'away' } }, message: /the sweep will be repeated/ }])
})
