import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { Claimed } from '../../lib/store/task-store.ts'
import { Exchanges } from '../../lib/worker/exchanges.ts'
import { Slots } from '../../lib/worker/slots.ts'
import { gate } from '../helpers/gate.ts'
import { silentLogger } from '../../lib/silent-logger.ts'

t.test('a reply that comes together with the end of a drain starts nothing', async t => {
  const [draining, forceStop] = [new AbortController(), new AbortController()]
  const reply = gate<Claimed>()
  const claimed: Claimed[] = []
  const exchanges = new Exchanges({
    leases: { claim: () => reply.opened, settle: async () => { throw new Error('nothing is settled') } },
    slots: new Slots(1),
    progress: { flush: async () => {} },
    heartbeat: { beat () {} },
    worker_id: 'worker',
    leaseDuration: 1_000,
    logger: silentLogger,
    draining: draining.signal,
    forceStop: forceStop.signal,
    onClaimed: answer => claimed.push(answer),
    onChange () {}
  })
  t.equal(exchanges.startDue(), true)
  forceStop.abort()
  reply.open({ tasks: [], lost: [], due: null, expired: [] })
  await setImmediate()
  t.equal(exchanges.isUnderWay, false)
  t.same(claimed, [])
})
