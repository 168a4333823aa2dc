import t from 'tap'
import type { Access, Chart, Identity } from '../../lib/index.ts'
import { startHost, storeKinds, type StoreKind } from '../helpers/app.ts'

interface Found {
  charts: Chart[]
  active_tasks: unknown[]
  has_active_tasks: boolean
}

for (const kind of storeKinds) {
  t.test(`by-message where the host keeps the charts, on ${kind}`, async t => {
    const kept = new Map<string, Chart>()
    const asked: Array<{ message_id: string, identity: Identity }> = []
    let found: () => Chart[] = () => [...kept.values()]
    let mayRead = (_access: Access): boolean => true
    const host = await startHost(t, kind as StoreKind, {
      authorize: (_identity, access) => mayRead(access),
      chartStore: {
        save: async chart => kept.set(chart.chart_id, chart),
        get: async chart_id => kept.get(chart_id) ?? null,
        findByMessage: async (message_id, identity) => {
          asked.push({ message_id, identity })
          return found()
        }
      }
    })
    const ofMessage = async (message_id: string, user = 'ada@acme', query = ''): Promise<Found> =>
      (await host.as(user).get(`/by-message/${message_id}${query}`)).json()
    t.beforeEach(() => {
      kept.clear()
      asked.length = 0
      found = () => [...kept.values()]
    })

    t.test('the chart store gets the message and the identity', async t => {
      const message_id = crypto.randomUUID()
      await ofMessage(message_id.toUpperCase())
      t.match(asked, [{ message_id, identity: { user_id: 'ada', org_id: 'acme' } }])
    })

    t.test('charts that it finds are shown, newest first, up to the limit', async t => {
      const message_id = crypto.randomUUID()
      for (const n of ['1', '2', '3']) {
        await host.as('ada@acme').finished({ content: { n } }, { message_id, adjustment_query: n })
        // So that no two were made in the same millisecond, which the host could not tell apart.
        for (const chart of kept.values()) kept.set(chart.chart_id, { ...chart, created_at: `2030-01-01T00:00:0${chart.adjustment_query}.000Z` })
      }
      t.strictSame((await ofMessage(message_id)).charts.map(chart => chart.content), [{ n: '3' }, { n: '2' }, { n: '1' }])
      t.strictSame((await ofMessage(message_id, 'ada@acme', '?limit=1')).charts.map(chart => chart.content), [{ n: '3' }])
      const [listed] = (await ofMessage(message_id, 'ada@acme', '?content=false')).charts
      t.notOk('content' in listed!)
    })

    t.test('charts that the caller may not see are not shown', async t => {
      const message_id = crypto.randomUUID()
      for (const user of ['bob@acme', 'eve@other', 'joe']) {
        for (const visibility of ['PRIVATE', 'ORGANIZATION', 'PUBLIC'] as const) await host.as(user).finished({ content: user }, { message_id, visibility })
      }
      t.strictSame((await ofMessage(message_id)).charts.map(chart => `${chart.user_id} ${chart.visibility}`).sort(), ['bob ORGANIZATION', 'bob PUBLIC'])
      t.strictSame((await ofMessage(message_id, 'jim')).charts, [], 'without an org there is no same org')
    })

    t.test('a chart that its task does not name is never shown', async t => {
      const message_id = crypto.randomUUID()
      const { chart_id } = await host.as('ada@acme').finished({ content: 'named' }, { message_id })
      const { task_id } = await host.as('ada@acme').create({ message_id, adjustment_query: 'other' })
      const named = kept.get(chart_id!)!
      const left = { ...named, chart_id: crypto.randomUUID(), content: 'left by an earlier lease' }
      kept.set(left.chart_id, left)
      const early = { ...left, chart_id: crypto.randomUUID(), task_id, content: 'saved, but not completed yet' }
      kept.set(early.chart_id, early)
      const { charts, active_tasks, has_active_tasks } = await ofMessage(message_id)
      t.strictSame(charts.map(chart => chart.content), ['named'])
      t.match(active_tasks, [{ task_id }])
      t.equal(has_active_tasks, true)
    })

    t.test('authorize is asked about each chart, with its task as long as that is kept', async t => {
      const message_id = crypto.randomUUID()
      const { task_id, chart_id } = await host.as('ada@acme').finished({ content: 'kept' }, { message_id })
      const old = { ...kept.get(chart_id!)!, task_id: crypto.randomUUID(), chart_id: crypto.randomUUID(), content: 'old' }
      kept.set(old.chart_id, old)
      const accesses: Access[] = []
      mayRead = access => {
        accesses.push(access)
        return access.task === undefined
      }
      const { charts } = await ofMessage(message_id)
      t.strictSame(charts.map(chart => chart.content), ['old'])
      t.equal(accesses.length, 3)
      t.match(accesses.find(({ task }) => task), { action: 'read', message_id, task: { task_id } })
      t.strictSame(accesses.filter(({ task }) => !task), [{ action: 'read', message_id }, { action: 'read', message_id }], 'the message, and what is old')
      mayRead = () => true
    })

    t.test('a task that completes during the call appears once', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = await host.as('ada@acme').create({ message_id })
      let during: Promise<void> | undefined
      const chartStoreAsked = new Promise<void>(resolve => {
        found = () => {
          during = host.finish(task_id, { content: 1 })
          resolve()
          return []
        }
      })
      const before = await ofMessage(message_id)
      await chartStoreAsked
      await during
      t.equal(before.charts.length + before.active_tasks.length, 1, 'still active')
      found = () => [...kept.values()]
      const after = await ofMessage(message_id)
      t.equal(after.charts.length, 1)
      t.strictSame(after.active_tasks, [])
      t.equal(after.has_active_tasks, false)
    })
  })
}
