import t from 'tap'
import { ChartGenerationError, type PublicChartTask } from '../../lib/index.ts'
import { startHost, storeKinds } from '../helpers/app.ts'

const ids = (list: Array<{ task_id: string }>) => list.map(({ task_id }) => task_id)

for (const kind of storeKinds) {
  t.test(`by-message on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')
    const ofMessage = async (message_id: string, query = '', user = 'ada@acme') => {
      const response = await host.as(user).get(`/by-message/${message_id}${query}`)
      t.equal(response.statusCode, 200)
      return response.json()
    }

    t.test('a message never heard of', async t => {
      const response = await ada.get(`/by-message/${crypto.randomUUID()}`)
      t.equal(response.statusCode, 200)
      t.equal(response.headers['cache-control'], 'private, no-cache')
      t.strictSame(response.json(), { charts: [], active_tasks: [], has_active_tasks: false, failed_tasks: [], content_complete: true })
    })

    t.test('charts, running and failed tasks of one message, newest first', async t => {
      const message_id = crypto.randomUUID()
      const of = (adjustment_query: string) => ({ message_id, adjustment_query })
      const charts: PublicChartTask[] = []
      const failed: PublicChartTask[] = []
      const active: PublicChartTask[] = []
      for (const n of ['1', '2', '3']) {
        charts.unshift(await ada.finished({ content: { n } }, of(`chart ${n}`)))
        failed.unshift(await ada.finished({ error: new ChartGenerationError(`no ${n}`) }, of(`failed ${n}`)))
        const { message, ...task } = await ada.create(of(`active ${n}`))
        active.unshift(task)
      }
      const cancelled = await ada.create(of('cancelled'))
      await ada.delete(`/async/${cancelled.task_id}`)
      await ada.finished({ content: 1 })

      const found = await ofMessage(message_id)
      t.strictSame(found.failed_tasks, failed)
      t.equal(found.has_active_tasks, true)
      // Taking the others in between has begun some of them.
      t.strictSame(ids(found.active_tasks), ids(active))
      t.strictSame(found.active_tasks[0], (await ada.get(`/async/${active[0]!.task_id}/status`)).json(), 'the same as their status')
      t.strictSame(found.charts.map((chart: object) => Object.keys(chart).sort().join()), Array(3).fill(
        'adjustment_query,chart_id,content,created_at,message_id,org_id,task_id,user_id,visibility'))
      t.strictSame(found.charts.map((chart: { content: object }) => chart.content), [{ n: '3' }, { n: '2' }, { n: '1' }])
      t.strictSame(found.charts[0], (await ada.get(`/async/${charts[0]!.task_id}/result`)).json(), 'the same chart as its result')
    })

    t.test('the message in any case', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = await ada.create({ message_id: message_id.toUpperCase() })
      t.strictSame(ids((await ofMessage(message_id)).active_tasks), [task_id])
      t.strictSame(ids((await ofMessage(message_id.toUpperCase())).active_tasks), [task_id])
    })

    t.test("one's own charts and those of one's org, never a stranger's", async t => {
      const message_id = crypto.randomUUID()
      const charts: Record<string, string> = {}
      for (const user of ['ada@acme', 'bob@acme', 'eve@other', 'joe', 'jim']) {
        for (const visibility of ['PRIVATE', 'ORGANIZATION', 'PUBLIC'] as const) {
          const { task_id } = await host.as(user).finished({ content: 1 }, { message_id, visibility })
          charts[task_id] = `${user} ${visibility}`
        }
        await host.as(user).finished({ error: new ChartGenerationError('no') }, { message_id, visibility: 'PUBLIC', adjustment_query: 'failed' })
        await host.as(user).create({ message_id, visibility: 'PUBLIC', adjustment_query: 'active' })
      }
      const expected: Record<string, string[]> = {
        'ada@acme': ['ada@acme PRIVATE', 'ada@acme ORGANIZATION', 'ada@acme PUBLIC', 'bob@acme ORGANIZATION', 'bob@acme PUBLIC'],
        'eve@other': ['eve@other PRIVATE', 'eve@other ORGANIZATION', 'eve@other PUBLIC'],
        joe: ['joe PRIVATE', 'joe ORGANIZATION', 'joe PUBLIC'],
        'zoe@acme': ['ada@acme ORGANIZATION', 'ada@acme PUBLIC', 'bob@acme ORGANIZATION', 'bob@acme PUBLIC'],
        nil: []
      }
      for (const [user, names] of Object.entries(expected)) {
        const found = await ofMessage(message_id, '', user)
        t.strictSame(ids(found.charts).map(task_id => charts[task_id]).sort(), names.sort(), user)
        const own = names.some(name => name.startsWith(`${user} `)) ? 1 : 0
        t.equal(found.active_tasks.length, own, 'tasks are their owner\'s alone')
        t.equal(found.failed_tasks.length, own)
      }
    })

    t.test('limit is 50, at most 100, for each kind', async t => {
      const message_id = crypto.randomUUID()
      const charts: string[] = []
      for (let n = 0; n < 52; n++) charts.unshift((await ada.finished({ content: n }, { message_id, adjustment_query: `${n}` })).task_id)
      const active: string[] = []
      for (let n = 0; n < 3; n++) active.unshift((await ada.create({ message_id, adjustment_query: `active ${n}` })).task_id)
      t.strictSame(ids((await ofMessage(message_id)).charts), charts.slice(0, 50))
      t.strictSame(ids((await ofMessage(message_id, '?limit=100')).charts), charts)
      const two = await ofMessage(message_id, '?limit=2')
      t.strictSame(ids(two.charts), charts.slice(0, 2))
      t.strictSame(ids(two.active_tasks), active.slice(0, 2))
      t.equal(two.has_active_tasks, true)
    })

    t.test('a limit that is none', async t => {
      for (const limit of ['0', '-1', '101', '1.5', 'ten', '', 'null', '1e3', '2&limit=3']) {
        const response = await ada.get(`/by-message/${crypto.randomUUID()}?limit=${limit}`)
        t.equal(response.statusCode, 400, limit)
        t.match(response.json(), { statusCode: 400, code: 'FST_ERR_VALIDATION', message: /limit/ })
      }
    })

    t.test('content=false leaves the contents out', async t => {
      const message_id = crypto.randomUUID()
      await ada.finished({ content: { large: true } }, { message_id })
      const [whole] = (await ofMessage(message_id)).charts
      const { content, ...without } = whole
      t.strictSame(content, { large: true })
      t.strictSame((await ofMessage(message_id, '?content=false')).charts, [without])
      t.strictSame((await ofMessage(message_id, '?content=true')).charts, [whole])
      for (const value of ['no', '2', '']) {
        t.equal((await ada.get(`/by-message/${message_id}?content=${value}`)).statusCode, 400, value)
      }
    })

    t.test('unknown query parameters are ignored', async t => {
      t.equal((await ada.get(`/by-message/${crypto.randomUUID()}?limit=5&_=1718000000&utm_source=x&a[]=1`)).statusCode, 200)
    })

    t.test('a task that completes meanwhile appears once: in the active tasks or in the charts', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = await ada.create({ message_id })
      await host.take(task_id)
      const finishing = host.finish(task_id, { content: 1 })
      const answers = await Promise.all(Array.from({ length: 20 }, () => ofMessage(message_id)))
      await finishing
      answers.push(await ofMessage(message_id))
      for (const { charts, active_tasks } of answers) t.equal(charts.length + active_tasks.length, 1)
      t.strictSame(ids(answers.at(-1).charts), [task_id])
    })
  })
}
