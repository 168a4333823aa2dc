import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, type Caller } from '../helpers/app.ts'
import { foreignStore } from '../helpers/foreign-store.ts'

interface Page { readonly tasks: Array<{ readonly task_id: string }>, readonly cursor: string | null }
interface Bulk { readonly matched: number, readonly done: number, readonly cursor: string | null, readonly skipped: unknown[] }

const start = (t: Parameters<typeof startHost>[0], seed: number) =>
  startHost(t, 'memory', { authorize: ({ user_id }, { action }) => action !== 'monitor' || user_id === 'root', store: foreignStore({ seed }) })

/** All pages of the list, as a client reads them. */
async function pagesOf (root: Caller, query: string): Promise<{ ids: string[], pages: number }> {
  const ids: string[] = []
  let pages = 0
  for (let cursor: string | null = ''; cursor !== null; pages++) {
    const response = await root.get(`/admin/tasks?${query}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)
    if (response.statusCode !== 200) throw new Error(response.body)
    const page: Page = response.json()
    ids.push(...page.tasks.map(({ task_id }) => task_id))
    cursor = page.cursor
  }
  return { ids, pages }
}

/** A bulk action, sent again with its cursor until nothing is left. */
async function bulk (root: Caller, operation: 'retry' | 'cancel', filter: object, limit: number): Promise<{ done: number, requests: number }> {
  let done = 0
  let requests = 0
  for (let cursor: string | null | undefined; cursor !== null; requests++) {
    const response = await root.request('POST', `/admin/tasks/${operation}`, {
      headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ filter, limit, ...(cursor === undefined ? {} : { cursor }) })
    })
    if (response.statusCode !== 200) throw new Error(response.body)
    const result: Bulk = response.json()
    done += result.done
    cursor = result.cursor
  }
  return { done, requests }
}

for (const seed of [1, 2, 3]) {
  t.test(`a store of another kind behind the routes (seed ${seed})`, async t => {
    const host = await start(t, seed)
    const root = host.as('root')
    const ada = host.as('ada')
    const failed: string[] = []
    for (let i = 0; i < 7; i++) failed.push((await ada.finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })).task_id)
    const waiting: string[] = []
    for (let i = 0; i < 7; i++) waiting.push((await ada.create()).task_id)

    await t.test('every page of a list is reached, and each task is on one', async t => {
      for (const limit of [1, 2, 5, 100]) {
        const { ids, pages } = await pagesOf(root, `limit=${limit}`)
        t.same([...ids].sort(), [...failed, ...waiting].sort())
        t.ok(pages >= 14 / limit)
      }
      t.same((await pagesOf(root, 'status=FAILED&limit=2')).ids.sort(), [...failed].sort())
    })

    await t.test('a cursor of another store is refused', async t => {
      for (const cursor of ['active.1.0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11', 'x', encodeURIComponent('ä&=')]) {
        t.match((await root.get(`/admin/tasks?cursor=${cursor}`)).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' }, cursor)
      }
      t.match((await root.request('POST', '/admin/tasks/cancel', {
        headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ filter: { user_id: 'ada' }, cursor: 'list.x' })
      })).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' })
    })

    await t.test('bulk actions go on by their cursors', async t => {
      const retried = await bulk(root, 'retry', { error_code: 'NO_DATA' }, 2)
      t.equal(retried.done, 7)
      t.ok(retried.requests >= 4)
      const cancelled = await bulk(root, 'cancel', { user_id: 'ada' }, 3)
      t.equal(cancelled.done, 14)
      t.same((await pagesOf(root, 'status=PENDING&limit=3')).ids, [])
    })

    await t.test('a chart is made and read', async t => {
      const { task_id, message_id } = await ada.create({ adjustment_query: 'log scale' })
      await host.progress(task_id, { step: 'rendering', progress: 40 })
      t.match((await ada.get(`/async/${task_id}/status`)).json(), { status: 'PROCESSING', current_step: 'rendering', progress: 40 })
      await host.finish(task_id, { content: { mark: 'bar' } })
      t.match((await ada.get(`/async/${task_id}/result`)).json(), { content: { mark: 'bar' } })
      t.match((await ada.get(`/by-message/${message_id}`)).json(), { charts: [{ task_id }] })
    })
  })
}

t.test('live updates and a worker on a store of another kind', async t => {
  const store = foreignStore({ seed: 4 })
  const host = await startHost(t, 'memory', {
    store,
    generate: async (_request, { progress }) => {
      progress({ step: 'rendering', progress: 50 })
      return 'drawn'
    }
  })
  const tasks = await Promise.all(Array.from({ length: 20 }, () => host.as('ada').create()))
  await Promise.all(tasks.map(async ({ task_id }) => {
    let version = 0
    for await (const task of host.service.watchTask(task_id)) {
      t.ok(task.version > version, 'versions only grow')
      version = task.version
      if (task.status === 'COMPLETED') return
    }
    t.fail('a watched task ends')
  }))
})
