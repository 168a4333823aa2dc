import { metrics, trace, type Meter, type Tracer } from '@opentelemetry/api'
import { errors } from '../errors.ts'
import type { Telemetry } from '../telemetry/channels.ts'
import { VERSION } from '../version.ts'
import { observeQueue } from './gauges.ts'
import { measureQueue } from './metrics.ts'
import { traceQueue } from './spans.ts'

export { otelThread } from './thread.ts'
export type { Telemetry }

export interface OtelOptions {
  /** Default: a tracer of the global provider with the name of this package. */
  readonly tracer?: Tracer | undefined
  /** Default: a meter of the provider that is global when the queue opens, with the name of this package. */
  readonly meter?: Meter | undefined
  /** Whether this process reads the gauges of the whole queue, one command for each collection. One process is enough. Default true. */
  readonly queueGauges?: boolean | undefined
}

const NAME = 'fastify-async-charts'
const RULES = {
  tracer: { fits: (value: unknown) => typeof (value as Tracer | null)?.startSpan === 'function', rule: 'must be a tracer of OpenTelemetry' },
  meter: { fits: (value: unknown) => typeof (value as Meter | null)?.createHistogram === 'function', rule: 'must be a meter of OpenTelemetry' },
  queueGauges: { fits: (value: unknown) => typeof value === 'boolean', rule: 'must be boolean' }
} as const

/** @throws CHARTS_ERR_INVALID_OPTIONS */
function check (options: unknown): OtelOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw new errors.CHARTS_ERR_INVALID_OPTIONS('the options of otel() must be an object')
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name)) throw new errors.CHARTS_ERR_INVALID_OPTIONS(`${name} is not an option of otel(); known are ${Object.keys(RULES).join(', ')}`)
    const { fits, rule } = RULES[name as keyof typeof RULES]
    if (value !== undefined && !fits(value)) throw new errors.CHARTS_ERR_INVALID_OPTIONS(`${name} of otel() ${rule}`)
  }
  return options
}

/**
* OpenTelemetry spans and metrics, for the option `telemetry`. Start your SDK first: before that, the API returns a meter that records
 * nothing.
 * @throws CHARTS_ERR_INVALID_OPTIONS
 */
export function otel (options: OtelOptions = {}): Telemetry {
  const { tracer, meter, queueGauges = true } = check(options)
  return {
    listen (queue) {
      const ownMeter = meter ?? metrics.getMeter(NAME, VERSION)
      const ends = [traceQueue(queue, tracer ?? trace.getTracer(NAME, VERSION)), measureQueue(queue, ownMeter), observeQueue(queue, ownMeter, queueGauges)]
      return () => { for (const end of ends) end() }
    }
  }
}
