import { METRICS, type MetricName } from '../../lib/otel/names.ts'

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** What a scrape says, in Prometheus' text format. */
export function samplesOf (text: string): Sample[] {
  return text.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)!
    return {
      name: name!,
      labels: Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label!, text!])),
      value: Number(value)
    }
  })
}

/** What OpenTelemetry's exporter calls a metric; a histogram is followed by `_bucket`, `_sum` or `_count`. */
export const prometheusName = (name: MetricName): string =>
  `${name.replaceAll('.', '_')}${METRICS[name].kind === 'counter' ? '_total' : ''}`
