import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { Signal, retryUntilAborted, sleep, unlessAborted, withDeadline, withInterrupt } from '../../lib/async.ts'

/** Longer than any test: what waits for it fails by its own timeout. */
const LONG = 600_000
const never = () => new Promise<never>(() => {})
const fail = (message: string) => (): never => { throw new Error(message) }

t.test('sleep', async t => {
  await t.test('ends after its time', async t => {
    const start = performance.now()
    await sleep(20)
    t.ok(performance.now() - start >= 19)
  })

  await t.test('ends early and without an error when it is aborted', async () => {
    const abort = new AbortController()
    const slept = sleep(LONG, abort.signal)
    abort.abort()
    await slept
    await sleep(LONG, abort.signal)
  })
})

t.test('Signal', async t => {
  await t.test('wakes a waiter', async () => {
    const signal = new Signal()
    const woken = signal.wait()
    signal.notify()
    await woken
  })

  await t.test('keeps one notification, however many there were', async t => {
    const signal = new Signal()
    signal.notify()
    signal.notify()
    await signal.wait()
    let isWoken = false
    const woken = signal.wait().then(() => { isWoken = true })
    await delay(5)
    t.notOk(isWoken)
    signal.notify()
    await woken
  })

  await t.test('a notification between waking and continuing is one of those that woke it', async t => {
    const signal = new Signal()
    const woken = signal.wait()
    signal.notify()
    signal.notify()
    await woken
    t.equal(await Promise.race([signal.wait(), delay(5, 'still waiting')]), 'still waiting')
  })
})

t.test('withInterrupt', async t => {
  await t.test('settles as the work does, and removes the interruption', async t => {
    let disarmed = 0
    const arm = () => () => { disarmed++ }
    t.equal(await withInterrupt(Promise.resolve('done'), arm), 'done')
    await t.rejects(withInterrupt(Promise.reject(new Error('failed')), arm), { message: 'failed' })
    t.equal(disarmed, 2)
  })

  await t.test('an interruption decides the outcome, once', async t => {
    let interrupt!: (outcome: () => string) => void
    let disarmed = 0
    const arm = (given: typeof interrupt) => {
      interrupt = given
      return () => { disarmed++ }
    }
    const interrupted = withInterrupt<string>(delay(5, 'done'), arm)
    interrupt(() => 'interrupted')
    interrupt(fail('not called'))
    t.equal(await interrupted, 'interrupted')
    const failed = withInterrupt<string>(Promise.reject(new Error('unheard')), arm)
    interrupt(fail('refused'))
    await t.rejects(failed, { message: 'refused' }, 'and the error of the work is no unhandled rejection')
    t.equal(disarmed, 2)
  })
})

t.test('withDeadline', async t => {
  await t.test('settles as the work does when that is in time', async t => {
    t.equal(await withDeadline(Promise.resolve('done'), LONG, fail('late')), 'done')
    await t.rejects(withDeadline(Promise.reject(new Error('failed')), LONG, () => 'late'), { message: 'failed' })
  })

  await t.test('else as it is told', async t => {
    t.equal(await withDeadline(never(), 5, () => 'late'), 'late')
    await t.rejects(withDeadline(never(), 5, fail('late')), { message: 'late' })
  })

  await t.test('a process that was busy reads a result that has arrived meanwhile', async t => {
    const work = new Promise(resolve => { setTimeout(() => setImmediate(resolve, 'done'), 5) })
    const settled = withDeadline(work, 6, fail('late'))
    for (const end = performance.now() + 20; performance.now() < end;);
    t.equal(await settled, 'done')
  })
})

t.test('unlessAborted', async t => {
  await t.test('settles as the work does, also within the grace after an abort', async t => {
    const abort = new AbortController()
    const work = unlessAborted(delay(20, 'done'), abort.signal, fail('aborted'), LONG)
    abort.abort()
    t.equal(await work, 'done')
    t.equal(await unlessAborted(Promise.resolve('done'), abort.signal, fail('aborted')), 'done')
  })

  await t.test('else as it is told', async t => {
    const abort = new AbortController()
    const work = unlessAborted(never(), abort.signal, () => null)
    abort.abort()
    t.equal(await work, null)
    await t.rejects(unlessAborted(never(), abort.signal, fail('aborted')), { message: 'aborted' })
  })
})

t.test('retryUntilAborted', async t => {
  await t.test('repeats an attempt that rejects or throws', async t => {
    const errors = [new Error('rejected'), new Error('thrown')]
    const told: unknown[] = []
    const act = () => {
      const [error] = errors.splice(0, 1)
      if (error?.message === 'thrown') throw error
      return error ? Promise.reject(error) : Promise.resolve('done')
    }
    const expected = [...errors]
    t.equal(await retryUntilAborted(act, { signal: new AbortController().signal, failed: error => told.push(error) }), 'done')
    t.strictSame(told, expected)
  })

  await t.test('waits longer each time, up to a maximum', async t => {
    const times: number[] = []
    const act = () => {
      times.push(performance.now())
      if (times.length < 14) throw new Error('down')
    }
    await retryUntilAborted(act, { signal: new AbortController().signal, minDelay: 2, maxDelay: 4, failed: () => {} })
    const waits = times.slice(1).map((time, i) => time - times[i]!)
    t.ok(waits.every((wait, i) => wait >= (i === 0 ? 1 : 3)), `${waits}`)
    // Without the maximum, the waits would take 16 s.
    t.ok(times.at(-1)! - times[0]! < 5_000)
  })

  for (const [when, act] of [['while an attempt does not answer', never], ['between two attempts', () => Promise.reject(new Error('down'))]] as const) {
    await t.test(`an abort ${when} ends it with its reason`, async t => {
      const abort = new AbortController()
      const reason = new Error('not wanted')
      const tried = retryUntilAborted<void>(act, { signal: abort.signal, failed: () => {} })
      await delay(1)
      abort.abort(reason)
      await t.rejects(tried, reason)
    })
  }

  await t.test('does not begin if it is aborted already', async t => {
    let begun = 0
    const tried = retryUntilAborted(() => ++begun, { signal: AbortSignal.abort(new Error('too late')), failed: () => {} })
    await t.rejects(tried, { message: 'too late' })
    t.equal(begun, 0)
  })

  await t.test('an attempt under way has its grace', async t => {
    const abort = new AbortController()
    const tried = retryUntilAborted(() => delay(20, 'saved'), { signal: abort.signal, grace: LONG, failed: () => {} })
    abort.abort()
    t.equal(await tried, 'saved')
  })
})
