import type { IncomingMessage, ServerResponse } from 'node:http'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { otel } from 'fastify-async-charts/otel'
import type { Telemetry } from 'fastify-async-charts'

export interface Prometheus {
  /** For the option `telemetry`. */
  readonly telemetry: Telemetry
  /** Answers a scrape: `GET /metrics`. */
  scrape (request: IncomingMessage, response: ServerResponse): void
  close (): Promise<void>
}

/**
 * The metrics of this process in the format of Prometheus.
 * @param options.queueGauges whether this process reads what is of the whole queue: one of many is enough
 */
export function prometheus ({ queueGauges }: { queueGauges: boolean }): Prometheus {
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const provider = new MeterProvider({ readers: [exporter] })
  return {
    telemetry: otel({ meter: provider.getMeter('fastify-async-charts'), queueGauges }),
    scrape: (request, response) => exporter.getMetricsRequestHandler(request, response),
    close: () => provider.shutdown()
  }
}
