import { EventSource } from 'eventsource'
import type { Chart, PublicChartTask } from 'fastify-async-charts'

interface MessageCharts {
  charts: Chart[]
  active_tasks: PublicChartTask[]
  has_active_tasks: boolean
  failed_tasks: PublicChartTask[]
}

/** Somebody who has opened the page, and now asks as the page does. */
export class Visitor {
  readonly #address: string
  readonly #cookie: string

  static async arrive (address: string): Promise<Visitor> {
    const { headers } = await fetch(address)
    return new Visitor(address, headers.getSetCookie()[0]!.split(';')[0]!)
  }

  constructor (address: string, cookie: string) {
    this.#address = address
    this.#cookie = cookie
  }

  ask (path: string, options: RequestInit = {}): Promise<Response> {
    const headers = { cookie: this.#cookie, ...options.headers as Record<string, string> }
    return fetch(`${this.#address}/api/v1/analytics/charts${path}`, { ...options, headers })
  }

  create (message_id: string, adjustment_query: string | null = null, force_create = false): Promise<Response> {
    return this.ask('/async', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message_id, adjustment_query, force_create })
    })
  }

  async accepted (message_id: string, adjustment_query: string | null = null): Promise<PublicChartTask> {
    const response = await this.create(message_id, adjustment_query)
    if (response.status !== 202) throw new Error(`not accepted: ${await response.text()}`)
    return await response.json() as PublicChartTask
  }

  async chartsOf (message_id: string): Promise<MessageCharts> {
    return await (await this.ask(`/by-message/${message_id}`)).json() as MessageCharts
  }

  /** Every state that the stream shows, until one is as wanted. */
  async watch (task_id: string, isWanted: (task: PublicChartTask) => boolean): Promise<PublicChartTask[]> {
    const states: PublicChartTask[] = []
    const source = new EventSource(`${this.#address}/api/v1/analytics/charts/stream/${task_id}`, {
      fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, cookie: this.#cookie } })
    })
    await new Promise<void>((resolve, reject) => {
      source.onmessage = ({ data }) => {
        const state = JSON.parse(data).data as PublicChartTask
        states.push(state)
        if (isWanted(state)) resolve()
      }
      source.onerror = ({ message }) => {
        if (source.readyState === source.CLOSED) reject(new Error(`the stream was refused: ${message}`))
      }
    }).finally(() => source.close())
    return states
  }

  async finished (task_id: string): Promise<PublicChartTask> {
    return (await this.watch(task_id, ({ completed_at }) => completed_at !== null)).at(-1)!
  }
}
