import t from 'tap'
import { errors, type StoredTask } from '../../lib/index.ts'
import { watchGroup, type GroupList } from '../../lib/service/group-feed.ts'
import { inTime, until } from '../helpers/gate.ts'
import { someTask } from '../helpers/scripted-store.ts'
import { refOf } from '../../lib/store/conformance/scene.ts'

type Answer = Error | Partial<Omit<GroupList, 'tasks'>> & { tasks?: StoredTask[] }

/** A group whose lists are given one after the other; the last one stays. */
function group (...answers: Answer[]) {
  const lists: number[] = []
  const reads: number[] = []
  const failures: Error[] = []
  const forgotten = new Set<string>()
  const tasks = new Map<string, StoredTask>()
  const over = new AbortController()
  const signal = new AbortController()
  let more = () => {}
  const source = {
    closed: false,
    over: over.signal,
    async list (since: number): Promise<GroupList> {
      const answer = answers[Math.min(lists.push(since), answers.length) - 1]!
      if (answer instanceof Error) throw answer
      for (const task of answer.tasks ?? []) tasks.set(task.task_id, task)
      return { read_at: 1_000 * lists.length, complete: true, ...answer, tasks: (answer.tasks ?? []).map(refOf) }
    },
    async read (task_ids: readonly string[]) {
      reads.push(task_ids.length)
      const failure = failures.shift()
      if (failure) throw failure
      return task_ids.slice(0, 2).map(task_id => forgotten.has(task_id) ? null : tasks.get(task_id)!)
    },
    async onMore (listener: () => void) {
      more = listener
      return () => {}
    }
  }
  /** The state that was listed, and no other. */
  async function * listed (task_id: string, { signal }: { signal: AbortSignal }): AsyncGenerator<StoredTask, void, void> {
    yield tasks.get(task_id)!
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve))
  }
  const states = watchGroup(source, listed, { signal: signal.signal })
  const next = async () => (await inTime(states.next(), 5_000, 'a state')).value?.task.task_id
  return {
    lists,
    reads,
    over,
    signal,
    states,
    next,
    more: () => more(),
    /** The next read fails. */
    fail: (error: Error) => { failures.push(error) },
    forget: (task_id: string) => { forgotten.add(task_id) }
  }
}
const running = (task_id: string) => someTask({ task_id })
const away = new errors.CHARTS_ERR_STORE_UNAVAILABLE()

t.test('a list goes on from the one before', async t => {
  const { lists, next, more, signal } = group({ tasks: [running('a')] }, { tasks: [running('a'), running('b')] })
  t.equal(await next(), 'a')
  more()
  t.equal(await next(), 'b', 'and tells nothing twice')
  t.strictSame(lists, [0, 1_000])
  signal.abort()
})

t.test('what there was no room for is looked for again', async t => {
  const { lists, next, signal } = group({ tasks: [running('a')], complete: false }, { tasks: [running('b')] })
  t.strictSame([await next(), await next()], ['a', 'b'])
  t.strictSame(lists, [0, 1_000])
  signal.abort()
})

t.test('a store that is away does not send a reader away who has been let in', async t => {
  const { next, more, signal } = group({ tasks: [running('a')] }, away, away, { tasks: [running('b')] })
  t.equal(await next(), 'a')
  more()
  t.equal(await next(), 'b')
  signal.abort()
  await t.rejects(group(away).next(), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
  const broken = group({ tasks: [running('a')] }, new Error('broken'))
  await broken.next()
  broken.more()
  await t.rejects(broken.next(), { message: 'broken' })
})

for (const end of ['signal', 'over'] as const) {
  t.test(`it ends by its ${end}, and lists no more`, async t => {
    const watched = group({ tasks: [running('a')], complete: false })
    t.equal(await watched.next(), 'a')
    await until(() => watched.lists.length > 1)
    const last = watched.states.next()
    watched[end].abort()
    t.strictSame(await inTime(last, 1_000, 'the end'), { done: true, value: undefined })
    const { length } = watched.lists
    watched.more()
    await new Promise(resolve => setTimeout(resolve, 300))
    t.equal(watched.lists.length, length)
  })
}

t.test('of a thousand that have ended, those are read that are told next', async t => {
  const ended = Array.from({ length: 1_000 }, (_, n) => someTask({
    task_id: `${n}`, status: 'COMPLETED', completed_at: new Date(Date.UTC(2030, 0, 1, 0, 0, n)).toISOString()
  }))
  const { next, reads, signal } = group({ tasks: ended })
  t.equal(await next(), '0')
  t.strictSame(reads, [1_000], 'asked for all, given the first two')
  t.strictSame([await next(), await next(), await next()], ['1', '2', '3'])
  t.strictSame(reads, [1_000, 998])
  signal.abort()
})

t.test('what has ended and is no longer kept is passed over', async t => {
  const ended = ['a', 'b', 'c'].map(task_id => someTask({ task_id, status: 'COMPLETED', completed_at: '2030-01-01T00:00:00.000Z' }))
  const { next, forget, signal } = group({ tasks: ended })
  forget('a')
  t.strictSame([await next(), await next()], ['b', 'c'])
  signal.abort()
})

t.test('a store that is away while they are read does not send the reader away', async t => {
  const ended = someTask({ task_id: 'a', status: 'COMPLETED', completed_at: '2030-01-01T00:00:00.000Z' })
  const { next, fail, signal } = group({ tasks: [ended] })
  fail(away)
  t.equal(await next(), 'a')
  signal.abort()
  const broken = group({ tasks: [ended] })
  broken.fail(new Error('broken'))
  await t.rejects(broken.next(), { message: 'broken' })
})

t.test('a task that cannot be watched ends the stream with its error', async t => {
  const task = running('a')
  const source = {
    closed: false,
    over: new AbortController().signal,
    list: async () => ({ tasks: [refOf(task)], read_at: 1_000, complete: true }),
    read: async () => [task],
    onMore: async () => () => {}
  }
  const states = watchGroup(source, async function * () { throw new Error('broken') }, { signal: new AbortController().signal })
  await t.rejects(inTime(states.next(), 5_000, 'the error'), { message: 'broken' })
})

t.test('a reader that has left before it began is given nothing', async t => {
  const { states, signal } = group({ tasks: [running('a')] })
  signal.abort()
  t.strictSame(await inTime(states.next(), 5_000, 'the end'), { done: true, value: undefined })
})

t.test('where new tasks are not announced, the error is told', async t => {
  const source = {
    closed: false,
    over: new AbortController().signal,
    list: async () => ({ tasks: [], read_at: 1_000, complete: true }),
    read: async () => [],
    onMore: async () => { throw away }
  }
  const states = watchGroup(source, async function * () {}, { signal: new AbortController().signal })
  await t.rejects(states.next(), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
})
