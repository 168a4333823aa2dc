import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Signal } from '../../lib/async.ts'
import { TaskFeed, type WatchOptions } from '../../lib/service/task-feed.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import type { StoredTask } from '../../lib/task.ts'
import { until } from '../helpers/gate.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { ScriptedStore, someTask } from '../helpers/scripted-store.ts'

const LONG = 60_000

let isFollowed = false

/** Runs a test for both ways in which states reach a watcher: `watch` yields them, `follow` delivers them. */
function each (name: string, run: (t: Test) => Promise<void>): void {
  for (const follows of [false, true]) {
    t.test(`${follows ? 'follow' : 'watch'}: ${name}`, async t => {
      isFollowed = follows
      await run(t)
      isFollowed = false
    })
  }
}

/** `follow` with the interface of `watch`: a state counts as delivered when the next one is asked for. */
async function * followed (feed: TaskFeed, task_id: string, options: WatchOptions = {}): AsyncGenerator<StoredTask, void, void> {
  const left = new AbortController()
  const states: StoredTask[] = []
  let sent = () => {}
  const changed = new Signal()
  let isOver = false
  options.signal?.addEventListener('abort', () => left.abort())
  if (options.signal?.aborted) left.abort()
  const following = feed.follow(task_id, { ...options, signal: left.signal }, task => new Promise<void>(resolve => {
    states.push(task)
    sent = resolve
    changed.notify()
  })).finally(() => {
    isOver = true
    changed.notify()
  })
  try {
    for (;;) {
      const state = states.shift()
      if (state) yield state
      sent()
      if (states.length > 0) continue
      if (isOver) return
      await changed.wait()
    }
  } finally {
    left.abort()
    sent()
    await following
  }
}

function start (t: Test, { pollInterval = LONG, up = true, logger = silentLogger } = {}) {
  const store = new ScriptedStore()
  const feed = new TaskFeed({ store: store.port, pollInterval, logger })
  // The feed's own timer keeps no process alive.
  const alive = setInterval(() => {}, LONG)
  t.teardown(() => {
    clearInterval(alive)
    feed.close()
  })
  if (isFollowed) feed.watch = (task_id, options) => followed(feed, task_id, options)
  store.up(up)
  return { store, feed }
}

async function versions (states: AsyncIterable<StoredTask>): Promise<number[]> {
  const seen: number[] = []
  for await (const { version } of states) seen.push(version)
  return seen
}

const finished = (task: StoredTask, version: number): StoredTask =>
  ({ ...task, version, status: 'COMPLETED', progress: 100, completed_at: '2030-01-01T00:00:09.000Z' })

each('a watch subscribes first, reads second, and shows what it has read', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  t.same(await watch.next(), { done: false, value: task })
  t.same(store.calls, ['subscribe', 'read'])
  await watch.return()
  t.same(store.calls, ['subscribe', 'read', 'unsubscribe'])
})

each('what is announced is shown as the whole task, without reading again', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  await watch.next()
  const next = { ...task, version: 2, progress: 40, current_step: 'rendering', step_progress: { rendering: 10 } }
  store.announce(next)
  t.same((await watch.next()).value, next)
  t.equal(store.count('read'), 1)
  await watch.return()
})

each('what is not newer is dropped', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 3, progress: 30 }))
  const watch = feed.watch(task.task_id)
  await watch.next()
  for (const version of [3, 2, 1]) {
    const read = store.next('read')
    store.announce({ ...task, version, progress: 1 })
    await read
  }
  await setImmediate()
  store.announce({ ...task, version: 5 })
  t.equal((await watch.next()).value?.version, 5)
  await watch.return()
})

each('the finished task is the last', async t => {
  const { store, feed } = start(t)
  const task = store.keep(finished(someTask(), 9))
  t.same(await versions(feed.watch(task.task_id)), [9])
  t.equal(store.subscribed.size, 0)
})

each('an announcement that comes before the read is not lost', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const release = store.hold()
  const reading = store.next('read')
  const watch = feed.watch(task.task_id)
  const first = watch.next()
  await reading
  store.announce({ ...task, version: 3, progress: 30 })
  store.announce({ ...task, version: 2, progress: 20 })
  release()
  t.same((await first).value, { ...task, version: 3, progress: 30 })
  await watch.return()
})

each('an announcement that came before a newer read is dropped', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 7 }))
  const release = store.hold()
  const reading = store.next('read')
  const watch = feed.watch(task.task_id)
  const first = watch.next()
  await reading
  store.announce({ ...task, version: 6, progress: 99 })
  release()
  t.same((await first).value, task)
  await watch.return()
})

each('a read that was under way while something newer was announced does not go back', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 2 }))
  const watch = feed.watch(task.task_id)
  await watch.next()
  const release = store.hold()
  const reading = store.next('read')
  store.up(true)
  await reading
  store.announce({ ...task, version: 3 })
  release()
  await setImmediate()
  store.announce({ ...task, version: 4 })
  const rest = [(await watch.next()).value?.version]
  store.announce(finished(task, 5))
  rest.push(...await versions(watch))
  t.same(rest, [4, 5], 'only what is newer')
})

each('while nothing is announced, tasks are polled', async t => {
  const { store, feed } = start(t, { pollInterval: 10, up: false })
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  await watch.next()
  store.keep({ ...task, version: 2 })
  t.equal((await watch.next()).value?.version, 2)
  const read = store.next('read')
  store.up(true)
  await read
  store.up(false)
  store.keep(finished(task, 3))
  t.same(await versions(watch), [3])
})

each('once announcements are back, what was missed is read at once', async t => {
  const { store, feed } = start(t, { up: false })
  const tasks = Array.from({ length: 450 }, () => store.keep(someTask()))
  const watches = tasks.map(task => feed.watch(task.task_id))
  await Promise.all(watches.map(watch => watch.next()))
  for (const task of tasks) store.keep(finished(task, 2))
  const before = store.count('read')
  store.up(true)
  t.same(await Promise.all(watches.map(watch => versions(watch))), tasks.map(() => [2]))
  t.ok(store.count('read') - before <= 3, 'many in one round trip')
})

each('watched tasks are read again from time to time even so', async t => {
  const { store, feed } = start(t, { pollInterval: 10 })
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  await watch.next()
  store.keep(finished(task, 2))
  const { now } = performance
  t.teardown(() => { performance.now = now })
  performance.now = () => now.call(performance) + 15_001
  t.same(await versions(watch), [2])
})

each('a lower version is a fresh start: the store has lost something', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 8, progress: 80 }))
  const watch = feed.watch(task.task_id)
  await watch.next()
  const back = store.keep({ ...task, version: 4, progress: 40 })
  store.announce(back)
  t.same((await watch.next()).value, back)
  store.announce(finished(task, 5))
  t.same(await versions(watch), [5])
})

each('a fresh start at a version that was seen before is shown too', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 2 }))
  const watch = feed.watch(task.task_id)
  await watch.next()
  store.announce({ ...task, version: 5 })
  await watch.next()
  store.keep({ ...task, version: 1 })
  store.up(true)
  t.equal((await watch.next()).value?.version, 1)
  store.announce(finished(task, 2))
  t.same(await versions(watch), [2])
})

each('a watch of what is unknown, or has vanished, ends', async t => {
  const { store, feed } = start(t, { pollInterval: 10, up: false })
  t.same(await versions(feed.watch('unknown')), [])
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  await watch.next()
  store.forget(task.task_id)
  t.same(await versions(watch), [])
  t.equal(store.subscribed.size, 0)
})

each('after a version that was seen only newer ones follow', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask({ version: 4 }))
  const watch = feed.watch(task.task_id, { after: 4 })
  const next = watch.next()
  await store.next('read')
  await setImmediate()
  store.announce({ ...task, version: 5 })
  t.equal((await next).value?.version, 5)
  await watch.return()
  const earlier = feed.watch(task.task_id, { after: 3 })
  t.equal((await earlier.next()).value?.version, 4)
  await earlier.return()
})

each('after the finished version nothing follows', async t => {
  const { store, feed } = start(t)
  const task = store.keep(finished(someTask(), 4))
  t.same(await versions(feed.watch(task.task_id, { after: 4 })), [])
})

each('after a version above the stored one the current state is shown, read twice to be sure', async t => {
  const { store, feed } = start(t)
  const task = store.keep(finished(someTask(), 4))
  t.same(await versions(feed.watch(task.task_id, { after: 9 })), [4])
  t.equal(store.count('read'), 2)
})

each('after a version that the store has and whose hint is under way only newer ones follow', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const first = feed.watch(task.task_id)
  await first.next()
  store.keep({ ...task, version: 2 })
  const second = versions(feed.watch(task.task_id, { after: 2 }))
  await store.next('read')
  await setImmediate()
  store.announce(finished(task, 3))
  t.same(await second, [3])
  await first.return()
})

each('a slow watcher skips states, but never the last', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const slow = feed.watch(task.task_id)
  const quick = feed.watch(task.task_id)
  await slow.next()
  const all = versions(quick)
  await setImmediate()
  for (const version of [2, 3, 4]) {
    store.announce({ ...task, version })
    await setImmediate()
  }
  store.announce(finished(task, 5))
  t.same(await all, [1, 2, 3, 4, 5])
  t.same(await versions(slow), [5])
})

each('watchers of one task share a subscription and a read', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const watches = Array.from({ length: 100 }, () => feed.watch(task.task_id))
  await Promise.all(watches.map(watch => watch.next()))
  t.same(store.calls, ['subscribe', 'read'])
  await Promise.all(watches.slice(1).map(watch => watch.return()))
  t.same(store.calls, ['subscribe', 'read'], 'one is still watching')
  await watches[0]!.return()
  t.same(store.calls, ['subscribe', 'read', 'unsubscribe'])
})

each('an aborted watch ends at once', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const abort = new AbortController()
  const watch = feed.watch(task.task_id, { signal: abort.signal })
  await watch.next()
  const next = watch.next()
  abort.abort()
  t.same(await next, { done: true, value: undefined })
  t.equal(store.subscribed.size, 0)
  t.same(await versions(feed.watch(task.task_id, { signal: abort.signal })), [])
})

each('a watch that cannot begin says why, and leaves nothing behind', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  store.fail(new Error('unreachable'))
  await Promise.all([1, 2].map(() => t.rejects(feed.watch(task.task_id).next(), { message: 'unreachable' })))
  t.equal(store.subscribed.size, 0)
  store.fail(null)
  const watch = feed.watch(task.task_id)
  t.same((await watch.next()).value, task, 'the next one begins anew')
  await watch.return()
})

each('a watch outlives a store that does not answer', async t => {
  const logger = recordingLogger()
  const { store, feed } = start(t, { pollInterval: 10, up: false, logger })
  const task = store.keep(someTask())
  const watch = feed.watch(task.task_id)
  await watch.next()
  store.fail(new Error('unreachable'))
  await store.next('read')
  store.announce({ ...task, version: 1 })
  await setImmediate()
  t.ok(logger.lines.some(({ details }) => (details['err'] as Error | undefined)?.message === 'unreachable'))
  store.fail(null)
  store.keep(finished(task, 2))
  t.same(await versions(watch), [2])
})

each('cancels are told to whoever listens for them', async t => {
  const { store, feed } = start(t)
  const heard: string[] = []
  const off = feed.onCancelled(task_id => heard.push(task_id))
  store.cancelled('one')
  off()
  store.cancelled('two')
  t.same(heard, ['one'])
})

each('closing ends every watch and listens no more', async t => {
  const { store, feed } = start(t)
  const tasks = [store.keep(someTask()), store.keep(someTask())]
  const watches = tasks.map(task => feed.watch(task.task_id))
  await Promise.all(watches.map(watch => watch.next()))
  const rest = watches.map(watch => versions(watch))
  feed.close()
  t.same(await Promise.all(rest), [[], []])
  t.notOk(store.listening)
  t.equal(store.subscribed.size, 0)
})

each('who could not be told of more leaves nothing behind', async t => {
  const { store, feed } = start(t, { up: false, pollInterval: 5 })
  const unsubscribed: string[] = []
  Object.assign(store, {
    subscribeMessage: async () => { throw new Error('no') },
    unsubscribeMessage: (message_id: string) => { unsubscribed.push(message_id) }
  })
  let told = 0
  await t.rejects(feed.onMore('message', 'ada', () => { told++ }), { message: 'no' })
  feed.added('message', 'ada')
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(told, 0)
  t.strictSame(unsubscribed, ['message'])
})

t.test('follow goes on at once where nothing is to be waited for', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const seen: number[] = []
  const following = feed.follow(task.task_id, {}, ({ version }) => { seen.push(version) })
  await store.next('read')
  for (const version of [2, 3]) {
    await setImmediate()
    store.announce({ ...task, version, progress: version })
    t.equal(seen.at(-1), version, 'in the same turn as the hint')
  }
  store.announce(finished(task, 4))
  await following
  t.same(seen, [1, 2, 3, 4])
  t.equal(store.subscribed.size, 0)
})

t.test('a watcher whose delivery fails ends, and no other', async t => {
  const { store, feed } = start(t)
  const task = store.keep(someTask())
  const broken = new Error('broken')
  const throwing = feed.follow(task.task_id, {}, ({ version }) => { if (version === 2) throw broken })
  const rejecting = feed.follow(task.task_id, {}, async ({ version }) => { if (version === 2) throw broken })
  const last = feed.watch(task.task_id)
  await last.next()
  await setImmediate()
  store.announce({ ...task, version: 2, progress: 2 })
  await t.rejects(throwing, broken)
  await t.rejects(rejecting, broken)
  t.equal((await last.next()).value?.version, 2)
  await last.return()
  t.equal(store.subscribed.size, 0)
})

t.test('there may be more at any time while nothing is announced, and when announcements are back', async t => {
  const { store, feed } = start(t, { up: false, pollInterval: 5 })
  Object.assign(store, { subscribeMessage: async () => true, unsubscribeMessage () {} })
  let told = 0
  const off = await feed.onMore('message', 'ada', () => { told++ })
  await until(() => told > 1)
  store.up(true)
  const before = told
  store.up(true)
  t.equal(told, before + 1)
  off()
  store.up(true)
  t.equal(told, before + 1, 'not after the end')
})
