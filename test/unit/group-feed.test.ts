import t from 'tap'
import { errors, type ChartTask } from '../../lib/index.ts'
import { watchGroup, type GroupList } from '../../lib/service/group-feed.ts'
import { inTime, until } from '../helpers/gate.ts'
import { someTask } from '../helpers/scripted-store.ts'
import { refOf } from '../../lib/store/conformance/scene.ts'

type Answer = Error | Partial<Omit<GroupList, 'tasks'>> & { tasks?: ChartTask[] }

/** A group whose lists are given one after the other; the last one stays. */
function group (...answers: Answer[]) {
  const lists: number[] = []
  const reads: number[] = []
  const tasks = new Map<string, ChartTask>()
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
      return task_ids.slice(0, 2).map(task_id => tasks.get(task_id) ?? null)
    },
    async onMore (listener: () => void) {
      more = listener
      return () => {}
    }
  }
  /** The state that was listed, and no other. */
  async function * listed (task_id: string, { signal }: { signal: AbortSignal }): AsyncGenerator<ChartTask, void, void> {
    yield tasks.get(task_id)!
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve))
  }
  const states = watchGroup(source, listed, { signal: signal.signal })
  const next = async () => (await inTime(states.next(), 5_000, 'a state')).value?.task.task_id
  return { lists, reads, over, signal, states, next, more: () => more() }
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
