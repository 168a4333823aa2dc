import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import asyncCharts, {
  defineCharts, memoryStore, runWorker,
  type AsyncChartsOptions, type Chart, type ChartContent, type ChartRequest, type ChartsDefinition, type ChartStore, type ContentOf, type GenerateChart,
  type GenerateContext, type JsonValue, type ParamsOf
} from 'fastify-async-charts'
import { createChartsClient, type FinishedChart } from 'fastify-async-charts/client'
import { describe, expect, test } from 'tstyche'

interface Params { year: number, region?: string }
interface Bars { mark: 'bar', rows: number[] }

const YearSchema = Type.Object({ year: Type.Integer(), region: Type.Optional(Type.String()) })
const store = memoryStore()
const identify = () => ({ user_id: 'ada' })
declare const generate: GenerateChart<Params, Bars>
declare const chartStore: ChartStore<Bars>

describe('a generator', () => {
  test('has params and content of any JSON where nothing is said', () => {
    expect<Parameters<GenerateChart>[0]>().type.toBe<ChartRequest<JsonValue>>()
    expect<ChartRequest['params']>().type.toBe<JsonValue | undefined>()
    expect<ReturnType<GenerateChart>>().type.toBe<Promise<JsonValue | object>>()
    expect<GenerateChart>().type.toBeAssignableFrom<(request: ChartRequest, context: GenerateContext) => Promise<Bars>>()
  })
  test('has those that are named', () => {
    expect<Parameters<typeof generate>[0]['params']>().type.toBe<Params | undefined>()
    expect<ReturnType<typeof generate>>().type.toBe<Promise<Bars>>()
    expect<ChartStore<Bars>['save']>().type.toBe<(chart: Chart<Bars>) => Promise<unknown>>()
  })
  test('returns what may be JSON', () => {
    expect<GenerateChart>().type.not.toBeAssignableFrom<() => Promise<undefined>>()
    expect<GenerateChart>().type.not.toBeAssignableFrom<() => Promise<bigint>>()
    expect<GenerateChart>().type.not.toBeAssignableFrom<() => Bars>()
    expect<GenerateChart<Params, Bars>>().type.not.toBeAssignableFrom<() => Promise<{ mark: 'line' }>>()
  })
})

describe('defineCharts', () => {
  test('infers params from a schema of TypeBox, and the content from the generator', () => {
    const charts = defineCharts({
      paramsSchema: YearSchema,
      async generate ({ params }) {
        expect(params).type.toBe<{ year: number, region?: string } | undefined>()
        return { mark: 'bar' as const, year: params?.year }
      },
      chartStore: {
        async save ({ content }) { expect(content).type.toBe<{ mark: 'bar', year: number | undefined }>() },
        async get () { return null },
        async findByMessage () { return [] }
      }
    })
    expect(charts).type.toBe<ChartsDefinition<{ year: number, region?: string }, { mark: 'bar', year: number | undefined }>>()
    expect<ParamsOf<typeof charts>>().type.toBe<{ year: number, region?: string }>()
    expect<ContentOf<typeof charts>>().type.toBe<{ mark: 'bar', year: number | undefined }>()
  })
  test('infers params from Type.Unsafe, and from a generator that names them', () => {
    const charts = defineCharts({ paramsSchema: Type.Unsafe<Params>({ type: 'object' }), generate: async ({ params }) => ({ year: params!.year }) })
    expect(charts).type.toBe<ChartsDefinition<Params, { year: number }>>()
    expect(defineCharts({ paramsSchema: { type: 'object' }, generate })).type.toBe<ChartsDefinition<Params, Bars>>()
    expect(defineCharts({ generate: async (request: ChartRequest<Params>) => ({ year: request.params!.year }) })).type.toBe<ChartsDefinition<Params, { year: number }>>()
  })
  test('infers any JSON from a plain schema, and takes types for a URL', () => {
    const charts = defineCharts({ paramsSchema: { type: 'object' }, generate: async ({ params }) => [params ?? null] })
    expect(charts).type.toBe<ChartsDefinition<JsonValue, JsonValue[]>>()
    expect(defineCharts<Params, Bars>({ generate: new URL('file:///chart.js') })).type.toBe<ChartsDefinition<Params, Bars>>()
    expect(defineCharts({ generate: new URL('file:///chart.js') })).type.toBe<ChartsDefinition<JsonValue, ChartContent>>()
  })
  test('refuses what does not fit', () => {
    expect(defineCharts).type.not.toBeCallableWith({ paramsSchema: Type.Object({ year: Type.String() }), generate })
    expect(defineCharts).type.not.toBeCallableWith({ paramsSchema: YearSchema })
    expect(defineCharts).type.not.toBeCallableWith({ generate, chartStore: {} as ChartStore<{ mark: 'line' }> })
    expect(defineCharts).type.not.toBeCallableWith({ generate: async () => undefined })
    expect(defineCharts).type.not.toBeCallableWith({ generate, concurrency: 2 })
  })
})

describe('the plugin', () => {
  const app = Fastify()
  test('takes definitions, generators and stores of any types', () => {
    app.register(asyncCharts, { store, identify, ...defineCharts({ paramsSchema: YearSchema, generate: async ({ params }) => ({ year: params?.year }) }) })
    app.register(asyncCharts, { store, identify, generate, chartStore })
    app.register(asyncCharts, { store, identify, paramsSchema: YearSchema, generate: async (request: ChartRequest<Params>) => request })
    app.register(asyncCharts, {
      store,
      identify,
      paramsSchema: { type: 'object' },
      async generate (request, context) {
        expect(request).type.toBe<ChartRequest<any>>()
        expect(context).type.toBe<GenerateContext>()
        return {}
      }
    })
    expect<AsyncChartsOptions>().type.toBeAssignableFrom<{ store: typeof store, identify: typeof identify, generate: typeof generate, chartStore: typeof chartStore }>()
  })
  test('refuses a generator that returns no JSON, and unknown options', () => {
    expect<AsyncChartsOptions['generate']>().type.not.toBeAssignableFrom<() => Promise<undefined>>()
    expect<AsyncChartsOptions>().type.not.toBeAssignableFrom<{ store: typeof store }>()
    expect(app.register).type.not.toBeCallableWith(asyncCharts, { store, identify, retries: 3 })
  })
})

describe('runWorker', () => {
  test('infers params from the schema', () => {
    runWorker({
      store,
      paramsSchema: YearSchema,
      concurrency: 2,
      async generate ({ params }) {
        expect(params).type.toBe<{ year: number, region?: string } | undefined>()
        return { year: params?.year }
      }
    })
    runWorker({
      store,
      async generate ({ params }) {
        expect(params).type.toBe<JsonValue | undefined>()
        return {}
      }
    })
  })
  test('takes definitions, generators and stores that fit each other', () => {
    expect(runWorker).type.toBeCallableWith({ store, ...defineCharts({ paramsSchema: YearSchema, generate: async () => ({}) }) })
    expect(runWorker).type.toBeCallableWith({ store, generate, chartStore })
    expect(runWorker).type.toBeCallableWith({ store, generate: new URL('file:///chart.js') })
    expect(runWorker).type.not.toBeCallableWith({ store, generate, chartStore: {} as ChartStore<{ mark: 'line' }> })
    expect(runWorker).type.not.toBeCallableWith({ store, generate, paramsSchema: Type.Object({ year: Type.String() }) })
    expect(runWorker).type.not.toBeCallableWith({ store, generate, retry: { attempts: 3 } })
    expect(runWorker).type.not.toBeCallableWith({ store })
  })
})

describe('the client', () => {
  const charts = createChartsClient<Params, Bars>()
  const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
  test('speaks the types of a definition', () => {
    expect(charts.generate({ message_id })).type.toBe<Promise<FinishedChart<Bars>>>()
    expect(charts.result(message_id)).type.toBe<Promise<Chart<Bars>>>()
    expect(charts.create).type.toBeCallableWith({ message_id, params: { year: 2026 } })
    expect(charts.create).type.not.toBeCallableWith({ message_id, params: { year: '2026' } })
    expect(charts.create).type.not.toBeCallableWith({})
    expect(createChartsClient().result(message_id)).type.toBe<Promise<Chart<JsonValue>>>()
  })
})
