import t from 'tap'
import { errors, type ChartTask } from '../../lib/index.ts'
import { watchGroup, type GroupList } from '../../lib/service/group-feed.ts'
import { inTime, until } from '../helpers/gate.ts'
import { someTask } from '../helpers/scripted-store.ts'

type Answer = Error | Partial<GroupList>

/** A group whose lists are given one after the other; the last one stays. */
function group (...answers: Answer[]) {
  const lists: number[] = []
  const over = new AbortController()
  const signal = new AbortController()
  let more = () => {}
  const source = {
    closed: false,
    over: over.signal,
    async list (since: number): Promise<GroupList> {
      const answer = answers[Math.min(lists.push(since), answers.length) - 1]!
      if (answer instanceof Error) throw answer
      return { tasks: [], read_at: 1_000 * lists.length, complete: true, ...answer }
    },
    async onMore (listener: () => void) {
      more = listener
      return () => {}
    }
  }
  async function * never (_task_id: string, { signal }: { signal: AbortSignal }): AsyncGenerator<ChartTask, void, void> {
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve))
  }
  const states = watchGroup(source, never, { signal: signal.signal })
  const next = async () => (await inTime(states.next(), 5_000, 'a state')).value?.task.task_id
  return { lists, over, signal, states, next, more: () => more() }
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
