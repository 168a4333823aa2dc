import type { Chart, ChartStore } from '../../lib/index.ts'

export interface HostStore extends Required<ChartStore> {
  readonly charts: Map<string, Chart>
  /** Every call, as `verb chart_id`. */
  readonly calls: string[]
  /** What `save` was given, each time. */
  readonly saved: Chart[]
  /** What the next calls of `save` do instead of keeping the chart. */
  readonly troubles: Array<() => unknown>
}

/** Where a host keeps its charts, for tests: a map. */
export function hostStore (): HostStore {
  const charts = new Map<string, Chart>()
  const calls: string[] = []
  const saved: Chart[] = []
  const troubles: Array<() => unknown> = []
  return {
    charts,
    calls,
    saved,
    troubles,
    async save (chart) {
      calls.push(`save ${chart.chart_id}`)
      saved.push(chart)
      const trouble = troubles.shift()
      if (trouble) return trouble()
      charts.set(chart.chart_id, chart)
    },
    async get (chart_id) {
      calls.push(`get ${chart_id}`)
      return charts.get(chart_id)
    },
    async findByMessage (message_id) {
      return [...charts.values()].filter(chart => chart.message_id === message_id)
    },
    async delete (chart_id) {
      calls.push(`delete ${chart_id}`)
      charts.delete(chart_id)
    }
  }
}
