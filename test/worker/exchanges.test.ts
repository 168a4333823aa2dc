import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import type { Settlement, Claim, TaskStore } from '../../lib/store/task-store.ts'
import { gate, until, type Gate } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'
import { spyOnStore, type Spy } from '../helpers/spy-store.ts'

const CONCURRENCY = 64

interface Exchange {
  readonly settlements: readonly Settlement[]
  readonly claim: Claim
  /** Lets the worker have the answer. */
  answer (): void
}

/** The store as a worker sees it whose exchanges the test answers one by one: `hold` begins that, and `let` all through ends it. */
function heldExchanges (queue: Queue): { spy: Spy, store: TaskStore, exchanges: Exchange[], hold (): void, letThrough (): void } {
  const spy = spyOnStore(queue)
  const exchanges: Exchange[] = []
  let isHolding = false
  const settleAttempts: TaskStore['settleAttempts'] = async (settlements, claim) => {
    const answer = spy.store.settleAttempts(settlements, claim)
    if (!isHolding) return answer
    const answered = gate()
    exchanges.push({ settlements, claim: claim!, answer: () => answered.open() })
    await answered.opened
    return answer
  }
  const store = new Proxy(spy.store, { get: (target, verb: keyof TaskStore) => verb === 'settleAttempts' ? settleAttempts : target[verb] })
  return {
    spy,
    store,
    exchanges,
    hold () { isHolding = true },
    letThrough () {
      isHolding = false
      for (const exchange of exchanges) exchange.answer()
    }
  }
}

const enqueueMany = (queue: Queue, count: number, adjustment_query: string) =>
  Promise.all(Array.from({ length: count }, async () => (await queue.enqueue({ adjustment_query })).task_id))

for (const kind of stores) {
  for (const concurrency of [10, CONCURRENCY]) {
    t.test(`where many end at once, half of them go with another exchange, and no more run than may, ${concurrency} ${kind}`, async t => {
      const queue = await startQueue(t, kind)
      const { store, exchanges, hold, letThrough } = heldExchanges(queue)
      const ids = await enqueueMany(queue, 3 * concurrency, 'short')
      const finish = gate()
      let running = 0
      let most = 0
      await queue.work(async () => {
        most = Math.max(most, ++running)
        await finish.opened
        running--
        return null
      }, { store, concurrency })
      await until(() => running === concurrency)
      hold()
      finish.open()
      await until(() => exchanges.length === 2)
      const [first, second] = exchanges
      t.same([first!.claim.lane, second!.claim.lane].sort(), [0, 1])
      const half = concurrency / 2
      t.same([first!, second!].map(({ settlements, claim }) => [settlements.length, claim.count]), [[half, half], [half, half]])
      t.not(first!.claim.claim_id, second!.claim.claim_id)
      t.equal(first!.claim.worker_id, second!.claim.worker_id)
      letThrough()
      for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
      t.equal(most, concurrency)
    })
  }

  t.test(`few that end wait for the exchange that is under way, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, exchanges, hold, letThrough } = heldExchanges(queue)
    const ids = await enqueueMany(queue, 3, 'short')
    const gates = new Map<string, Gate<void>>(ids.map(id => [id, gate()]))
    await queue.work(async ({ task_id }) => {
      await gates.get(task_id)!.opened
      return null
    }, { store, concurrency: CONCURRENCY })
    for (const id of ids) await queue.state(id, ({ status }) => status === 'PROCESSING')
    hold()
    gates.get(ids[0]!)!.open()
    await until(() => exchanges.length === 1)
    gates.get(ids[1]!)!.open()
    gates.get(ids[2]!)!.open()
    await new Promise(resolve => setImmediate(resolve))
    t.equal(exchanges.length, 1)
    exchanges[0]!.answer()
    await until(() => exchanges.length === 2)
    t.equal(exchanges[1]!.settlements.length, 2)
    letThrough()
    for (const id of ids) await queue.ended(id)
  })

  t.test(`what is claimed beside a task that must run alone is released, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { spy, store, exchanges, hold, letThrough } = heldExchanges(queue)
    const short = gate()
    const alone = gate()
    const running = new Set<string>()
    const beside: string[][] = []
    await enqueueMany(queue, CONCURRENCY, 'short')
    await queue.work(async ({ task_id, adjustment_query }) => {
      if (adjustment_query === 'suspect') beside.push([...running])
      else if (running.has('suspect')) beside.push([task_id])
      running.add(adjustment_query === 'suspect' ? adjustment_query : task_id)
      if (adjustment_query === 'short') await short.opened
      if (adjustment_query === 'suspect') await alone.opened
      running.delete(adjustment_query === 'suspect' ? adjustment_query : task_id)
      return null
    }, { store, concurrency: CONCURRENCY })
    await until(() => running.size === CONCURRENCY)
    // Two workers are lost with it.
    const { task_id: suspect } = await queue.enqueue({ adjustment_query: 'suspect' })
    let claims = 0
    const claim = async (count: number) => (await queueOf(queue.service).leases.claim({ worker_id: 'victim', claim_id: `claim-${claims++}`, count, leaseDuration: 100 })).tasks
    await claim(1)
    await until(async () => (await claim(1)).length === 1)
    await until(async () => {
      await claim(0)
      return (await queue.service.getTaskStatus(suspect))!.status === 'PENDING'
    })
    const later = await enqueueMany(queue, 10, 'later')
    hold()
    short.open()
    await until(() => exchanges.length === 2)
    letThrough()
    await until(() => running.has('suspect'))
    await until(() => spy.log.some(({ verb, args }) => verb === 'settleAttempts' && (args[0] as Settlement[]).some(closing => closing.verb === 'release')))
    t.same([...running], ['suspect'])
    alone.open()
    t.match(await queue.ended(suspect), { status: 'COMPLETED', attempt: 3 })
    for (const id of later) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
    t.same(beside, [[]])
  })
}
