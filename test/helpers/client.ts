import { createChartsClient, type ChartsClient, type ChartsClientOptions, type PublicChartTask, type Watch } from '../../lib/client/index.ts'
import { startHost, type Host, type HostOptions } from './app.ts'
import { inTime } from './gate.ts'
import { startHttpProxy, type HttpProxy } from './http-proxy.ts'

type Test = Parameters<typeof startHost>[0]

/** A twentieth: what takes a minute takes three seconds. */
const TIME_SCALE = 0.05
/** ms that a test waits for one state of a watch. */
const STATE_TIMEOUT_MS = 240_000

export interface Served {
  readonly host: Host
  readonly proxy: HttpProxy
  /** Ada's. */
  readonly charts: ChartsClient
  client (options?: ChartsClientOptions): ChartsClient
}

/** A host behind a proxy, and a client that asks through it. */
export async function serveClient (t: Test, options: HostOptions = {}): Promise<Served> {
  const host = await startHost(t, 'memory', { stream: { heartbeat: 50 }, ...options })
  const proxy = await startHttpProxy(t, await host.listen())
  // A watch that a failed test leaves open would ask for ever, and keep the process alive: it ends with the first refusal.
  let isOver = false
  t.teardown(() => { isOver = true })
  const fetch: typeof globalThis.fetch = (...request) => isOver ? Promise.resolve(Response.json({}, { status: 410 })) : globalThis.fetch(...request)
  const client = (given: ChartsClientOptions = {}) => createChartsClient({
    baseUrl: `${proxy.url}/api/v1/analytics`, headers: () => ({ 'x-user': 'ada' }), timeScale: TIME_SCALE, fetch, ...given
  })
  return { host, proxy, client, charts: client() }
}

export const isStream = ({ url }: { url: string }) => url.includes('/stream/')
export const isStatus = ({ url }: { url: string }) => url.endsWith('/status')

/** Reads on until a state is as wanted; all that were read. Rejects after a minute without a new state. */
export async function readUntil (watch: Watch, isWanted: (task: PublicChartTask) => boolean): Promise<PublicChartTask[]> {
  const states: PublicChartTask[] = []
  for (;;) {
    const { done, value } = await inTime(watch.next(), STATE_TIMEOUT_MS, () => `a state of the watch with ${isWanted}, after ${JSON.stringify(states.at(-1))}`)
    if (done) return states
    states.push(value)
    if (isWanted(value)) return states
  }
}

/** All that is still to come, to the end of the watch. */
export const readAll = (watch: Watch): Promise<PublicChartTask[]> => readUntil(watch, () => false)
