import { createChartsClient, type ChartsClient, type ChartsClientOptions, type PublicChartTask, type Watch } from '../../lib/client/index.ts'
import { startHost, type Host, type HostOptions } from './app.ts'
import { startHttpProxy, type HttpProxy } from './http-proxy.ts'

type Test = Parameters<typeof startHost>[0]

/** A twentieth: what takes a minute takes three seconds. */
const TIME_SCALE = 0.05

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
  const client = (given: ChartsClientOptions = {}) => createChartsClient({
    baseUrl: `${proxy.url}/api/v1/analytics`, headers: () => ({ 'x-user': 'ada' }), timeScale: TIME_SCALE, ...given
  })
  return { host, proxy, client, charts: client() }
}

export const isStream = ({ url }: { url: string }) => url.includes('/stream/')
export const isStatus = ({ url }: { url: string }) => url.endsWith('/status')

/** Reads on until a state is as wanted; all that were read. */
export async function readUntil (watch: Watch, isWanted: (task: PublicChartTask) => boolean): Promise<PublicChartTask[]> {
  const states: PublicChartTask[] = []
  for (let result = await watch.next(); !result.done; result = await watch.next()) {
    states.push(result.value)
    if (isWanted(result.value)) break
  }
  return states
}

/** All that is still to come. */
export async function readAll (watch: Watch): Promise<PublicChartTask[]> {
  const states: PublicChartTask[] = []
  for await (const state of watch) states.push(state)
  return states
}
