import t, { type Test } from 'tap'
import { readFileSync } from 'node:fs'
import { EventSource } from 'eventsource'
import { WebSocket } from 'ws'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, storeKinds, type Host, type StoreKind } from '../helpers/app.ts'

const text = readFileSync(new URL('../fixtures/frontend-integration.md', import.meta.url), 'utf8')
const snippets = [...text.matchAll(/^#### (\d)\. .*\n\n```javascript\n([^]*?)^```$/gm)].map(([, number, code]) => ({ number: Number(number), code: code! }))
const AsyncFunction = (async () => {}).constructor as new (...source: string[]) => (...values: unknown[]) => Promise<any>

type Call = [name: string, ...args: any[]]

/** A page: what a browser has, what the snippets take for granted, and what they did. */
class Page {
  readonly calls: Call[] = []
  readonly globals: Record<string, unknown>
  readonly #waiting = new Set<() => void>()
  readonly #open = new Set<{ close (): void }>()

  constructor (origin: string, message_id: string) {
    const headers = { 'x-user': 'ada' }
    const open = this.#open
    const called = (name: string) => (...args: unknown[]) => {
      this.calls.push([name, ...args])
      for (const look of this.#waiting) look()
    }
    this.globals = {
      fetch: (url: string, init: RequestInit = {}) => fetch(new URL(url, origin), {
        // In place of the words that stand for a message in the snippet.
        ...init, headers: { ...init.headers as object, ...headers }, ...(init.body ? { body: String(init.body).replace('message-uuid', message_id) } : {})
      }),
      EventSource: class extends EventSource {
        constructor (url: string) {
          super(new URL(url, origin), { fetch: (url, init) => fetch(url, { ...init, headers: { ...init!.headers, ...headers } }) })
          open.add(this)
        }
      },
      WebSocket: class extends WebSocket {
        constructor (url: string) {
          super(url.replace('ws://localhost', origin.replace('http', 'ws')), { headers })
          open.add(this)
        }
      },
      console: { log: called('log') }
    }
    for (const name of ['showProgressIndicator', 'updateProgressUI', 'showChartResult', 'renderChart', 'showError']) this.globals[name] = called(name)
  }

  /** Runs a snippet as it stands; what `result` is in it. */
  run (number: number, given: Record<string, unknown> = {}, result = 'undefined'): Promise<any> {
    const scope = { ...this.globals, ...given }
    const { code } = snippets.find(snippet => snippet.number === number)!
    return new AsyncFunction(...Object.keys(scope), `${code}\nreturn ${result}`)(...Object.values(scope))
  }

  /** The arguments of the first such call, now or to come. */
  async called (name: string, wanted: (...args: any[]) => boolean = () => true): Promise<any[]> {
    const find = () => this.calls.find(([called, ...args]) => called === name && wanted(...args))
    for (let call = find(); ; call = find()) {
      if (call) return call.slice(1)
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
  }

  leave (): void {
    for (const connection of this.#open) connection.close()
  }
}

async function openPage (t: Test, kind: StoreKind): Promise<{ host: Host, page: Page, message_id: string }> {
  const host = await startHost(t, kind)
  const message_id = crypto.randomUUID()
  const page = new Page(new URL(await host.listen()).origin, message_id)
  t.teardown(() => page.leave())
  return { host, page, message_id }
}

t.equal(snippets.length, 6)

for (const kind of storeKinds) {
  t.test(`the snippets of the spec, as they stand, on ${kind}`, async t => {
    for (const [number, name] of [[2, 'SSE'], [3, 'WebSocket']] as const) {
      t.test(`create, follow by ${name}, show the chart`, async t => {
        const { host, page, message_id } = await openPage(t, kind)
        const taskId = await page.run(1, {}, 'taskId')
        t.strictSame(page.calls, [['showProgressIndicator', taskId]])
        t.match(await host.service.getTaskStatus(taskId), { message_id, status: 'PENDING', visibility: 'PRIVATE', user_id: 'ada' })

        const showChartResult = await page.run(4, {}, 'showChartResult')
        await page.run(number, { taskId, showChartResult })
        t.match(await page.called('updateProgressUI'), [{ task_id: taskId, status: 'PENDING' }])
        await host.progress(taskId, { step: 'data_extraction', step_progress: 100, progress: 40 })
        t.match(await page.called('updateProgressUI', task => task.progress === 40), [{
          status: 'PROCESSING', current_step: 'data_extraction', step_progress: { data_extraction: 100 }
        }])
        await host.finish(taskId, { content: { bars: [1, 2, 3] } })
        const [chart] = await page.called('renderChart')
        t.match(chart, { task_id: taskId, message_id, content: { bars: [1, 2, 3] } })
        t.match(await page.called('updateProgressUI', task => task.status === 'COMPLETED'), [{ progress: 100 }])
      })
    }

    t.test('follow by SSE, show errors', async t => {
      const { host, page } = await openPage(t, kind)
      const taskId = await page.run(1, {}, 'taskId')
      await page.run(2, { taskId })
      await page.called('updateProgressUI')
      await host.finish(taskId, { error: new ChartGenerationError('No rows in this date range') })
      t.strictSame(await page.called('showError'), ['No rows in this date range'])
    })

    t.test('pick up the charts and the running tasks of a message', async t => {
      const { host, page, message_id } = await openPage(t, kind)
      const ada = host.as('ada')
      await ada.finished({ content: 'done' }, { message_id, adjustment_query: 'done' })
      const { task_id } = await ada.create({ message_id })
      const getMessageCharts = await page.run(5, {}, 'getMessageCharts')
      await getMessageCharts(message_id)
      t.match(page.calls, [['renderChart', { content: 'done' }], ['showProgressIndicator', task_id]])
      t.equal(page.calls.length, 2)
    })

    t.test('nothing of a message never heard of', async t => {
      const { page } = await openPage(t, kind)
      const getMessageCharts = await page.run(5, {}, 'getMessageCharts')
      await getMessageCharts(crypto.randomUUID())
      t.strictSame(page.calls, [])
    })

    t.test('cancel', async t => {
      const { host, page } = await openPage(t, kind)
      const taskId = await page.run(1, {}, 'taskId')
      page.calls.length = 0
      const cancelChartTask = await page.run(6, {}, 'cancelChartTask')
      await cancelChartTask(taskId)
      t.strictSame(page.calls, [['log', 'Task cancelled successfully']])
      t.equal((await host.service.getTaskStatus(taskId))!.status, 'CANCELLED')
      const { task_id } = await host.as('ada').finished({ content: 1 })
      await cancelChartTask(task_id)
      t.equal(page.calls.length, 1, 'a finished task is not said to be cancelled')
    })
  })
}
