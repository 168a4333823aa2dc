import { context, type Attributes } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { MeterProvider, MetricReader, type DataPoint, type Histogram, type MetricData } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { Meter, Tracer } from '@opentelemetry/api'
import { until } from './gate.ts'

// One for all tests that share a process: it keeps nothing of its own.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

/** What a test compares of a span, also of one of another process. */
export interface SeenSpan {
  readonly name: string
  readonly kind: number
  readonly trace_id: string
  readonly span_id: string
  readonly parent_id: string | null
  readonly attributes: Attributes
  readonly status: number
  readonly events: ReadonlyArray<{ readonly name: string, readonly attributes: Attributes }>
  readonly links: ReadonlyArray<{ readonly span_id: string, readonly trace_id: string, readonly tracestate: string | null, readonly attributes: Attributes }>
}

export function seenSpan (span: ReadableSpan): SeenSpan {
  const { traceId, spanId } = span.spanContext()
  return {
    name: span.name,
    kind: span.kind,
    trace_id: traceId,
    span_id: spanId,
    parent_id: span.parentSpanContext?.spanId ?? null,
    attributes: span.attributes,
    status: span.status.code,
    events: span.events.map(({ name, attributes = {} }) => ({ name, attributes })),
    links: span.links.map(({ context, attributes = {} }) => ({
      span_id: context.spanId, trace_id: context.traceId, tracestate: context.traceState?.serialize() ?? null, attributes
    }))
  }
}

interface Test { teardown (ended: () => unknown): unknown }

export interface Traces {
  readonly tracer: Tracer
  /** Spans that have ended, in that order. */
  all (): SeenSpan[]
  /** The first ended span with this name that is as wanted, once there is one. */
  span (name: string | RegExp, wanted?: (span: SeenSpan) => boolean): Promise<SeenSpan>
}

/** A real SDK whose spans stay in memory. */
export function recordTraces (t: Test): Traces {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  t.teardown(() => provider.shutdown())
  const all = () => exporter.getFinishedSpans().map(seenSpan)
  return { tracer: provider.getTracer('test'), all, span: (name, wanted) => findSpan(all, name, wanted) }
}

export async function findSpan (all: () => SeenSpan[], name: string | RegExp, wanted: (span: SeenSpan) => boolean = () => true): Promise<SeenSpan> {
  const find = () => all().find(span => (typeof name === 'string' ? span.name === name : name.test(span.name)) && wanted(span))
  await until(find)
  return find()!
}

class ManualReader extends MetricReader {
  protected override async onForceFlush (): Promise<void> {}
  protected override async onShutdown (): Promise<void> {}
}

export interface Metrics {
  readonly meter: Meter
  /** All that is collected now, by name. */
  collect (): Promise<ReadonlyMap<string, MetricData>>
}

/** A real SDK that is read when the test asks. */
export function recordMetrics (t: Test): Metrics {
  const reader = new ManualReader()
  const provider = new MeterProvider({ readers: [reader] })
  t.teardown(() => provider.shutdown())
  return {
    meter: provider.getMeter('test'),
    async collect () {
      const { resourceMetrics, errors } = await reader.collect()
      if (errors.length > 0) throw errors[0]
      return new Map(resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics).map(data => [data.descriptor.name, data]))
    }
  }
}

const fits = (actual: Attributes, wanted: Attributes) => Object.entries(wanted).every(([name, value]) => actual[name] === value)

/** Values of a metric by their labels; of a histogram, how many values it has. */
export function valueOf (metrics: ReadonlyMap<string, MetricData>, name: string, labels: Attributes = {}): number | null {
  const points = (metrics.get(name)?.dataPoints ?? []) as ReadonlyArray<DataPoint<number | Histogram>>
  const found = points.filter(({ attributes }) => fits(attributes, labels))
  return found.length === 0 ? null : found.reduce((sum, { value }) => sum + (typeof value === 'number' ? value : value.count), 0)
}

/** The labels that a metric was seen with. */
export const labelsOf = (data: MetricData): Attributes[] => data.dataPoints.map(({ attributes }) => attributes)
