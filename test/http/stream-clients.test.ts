import t, { type Test } from 'tap'
import { createEventSource } from 'eventsource-client'
import { EventSource } from 'eventsource'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSource as UndiciEventSource, type Dispatcher, Agent } from 'undici'
import { startHost } from '../helpers/app.ts'

const ada = { 'x-user': 'ada' }

interface Watched {
  /** `data` of every message, as it was handed over. */
  readonly messages: string[]
  /** Resolves when the client has stopped for good. */
  readonly stopped: Promise<unknown>
  close (): void
}

type Follow = (url: string) => Watched

/** A client as its users would have it, each with its own way to know that it is over. */
const clients: Record<string, Follow> = {
  eventsource (url) {
    const source = new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...ada } }) })
    return byEvents(source)
  },
  'the EventSource of undici' (url) {
    const dispatcher: Dispatcher = new Agent().compose(dispatch => (options, handler) => dispatch({ ...options, headers: withUser(options.headers) }, handler))
    return byEvents(new UndiciEventSource(url, { dispatcher } as never) as unknown as EventSource)
  },
  'eventsource-client' (url) {
    const messages: string[] = []
    let end = () => {}
    const stopped = new Promise<void>(resolve => { end = resolve })
    const source = createEventSource({
      url,
      headers: ada,
      onMessage: ({ data }) => { messages.push(data) },
      onDisconnect: () => { if (source.readyState === 'closed') end() },
      fetch: async (input, init) => {
        const response = await fetch(input, init as RequestInit)
        // It stops at a 204, and tells nobody.
        if (response.status === 204) end()
        return response as never
      }
    })
    return { messages, stopped, close: () => source.close() }
  },
  '@microsoft/fetch-event-source' (url) {
    const messages: string[] = []
    const leaving = new AbortController()
    const stopped = fetchEventSource(url, {
      headers: ada,
      signal: leaving.signal,
      openWhenHidden: true,
      fetch,
      async onopen ({ status }) {
        if (status === 204) leaving.abort()
        else if (status !== 200) throw new Error(`refused: ${status}`)
      },
      onmessage ({ data }) {
        messages.push(data)
        JSON.parse(data)
      },
      // Without it, the first end of a connection is the last.
      onclose () { throw new Error('come back') }
    })
    return { messages, stopped, close: () => leaving.abort() }
  }
}

function withUser (headers: Dispatcher.DispatchOptions['headers']): Record<string, string> {
  const entries = Array.isArray(headers) ? headers.flatMap((name, i) => i % 2 === 0 ? [[String(name), String(headers[i + 1])]] : []) : Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)])
  return { ...Object.fromEntries(entries), ...ada }
}

function byEvents (source: EventSource): Watched {
  const messages: string[] = []
  source.onmessage = ({ data }) => { messages.push(data) }
  const stopped = new Promise<void>(resolve => {
    source.onerror = () => { if (source.readyState === 2) resolve() }
  })
  return { messages, stopped, close: () => source.close() }
}

async function until (isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setTimeout(resolve, 10))
}

for (const [name, follow] of Object.entries(clients)) {
  t.test(`${name}: progress, a reconnect with its cursor, the finished task, and no more`, async (t: Test) => {
    // @microsoft/fetch-event-source is made for browsers.
    Object.assign(globalThis, { window: globalThis, document: { addEventListener () {}, removeEventListener () {}, hidden: false } })
    const asked: Array<string | undefined> = []
    const host = await startHost(t, 'memory', { stream: { heartbeat: 50, maxDuration: 300 } })
    host.app.addHook('onRequest', async request => {
      if (request.url.includes('/stream/')) asked.push(request.headers['last-event-id'] as string | undefined)
    })
    const base = await host.listen()
    const { task_id } = await host.as('ada').create()
    const watched = follow(`${base}/stream/${task_id}`)
    t.teardown(() => watched.close())
    const states = () => watched.messages.map(data => JSON.parse(data).data)
    await until(() => watched.messages.length === 1)
    await host.progress(task_id, { step: 'rendering' })
    await until(() => states().some(({ current_step }) => current_step === 'rendering'))
    const { version } = states().at(-1)
    // Ended by the server, with when to come back: it says what it has seen.
    await until(() => asked.includes(String(version)))
    await host.finish(task_id, { content: 1 })
    await watched.stopped
    t.notOk(watched.messages.includes(''), 'no message without data')
    const versions = states().map(state => state.version)
    t.strictSame(versions, [...new Set(versions)].sort((a, b) => a - b), 'nothing twice')
    t.equal(states().at(-1).status, 'COMPLETED')
    const count = asked.length
    await new Promise(resolve => setTimeout(resolve, 300))
    t.equal(asked.length, count, 'it does not ask again')
  })
}
