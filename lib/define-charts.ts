import type { ChartContent, GenerateChart } from './generator.ts'
import type { ChartStore } from './service/chart-store.ts'
import type { JsonValue } from './task.ts'

/**
 * A JSON Schema of `params`. One that TypeBox made carries the type that it describes, and so does `Type.Unsafe<Params>(schema)`; a plain one does not.
 */
export type ParamsSchema<Params> = { readonly static: Params } | { readonly static?: never, readonly [keyword: string]: any }

/** What is said of a host's charts once, for its web processes and its workers. */
export interface ChartsDefinition<Params = JsonValue, Content extends ChartContent = ChartContent> {
  /** JSON Schema of `params`, as the plugin takes it. */
  readonly paramsSchema?: ParamsSchema<Params> | undefined
  /** The chart generator, or the `URL` of a module whose default export it is. */
  readonly generate: GenerateChart<Params, Content> | URL
  /** Where finished charts live. */
  readonly chartStore?: ChartStore<NoInfer<Content>> | undefined
}

/** The type of `params` of a definition: `ParamsOf<typeof charts>`. */
export type ParamsOf<Definition> = Definition extends ChartsDefinition<infer Params, any> ? Params : never
/** The type of the content of a definition's charts. */
export type ContentOf<Definition> = Definition extends ChartsDefinition<any, infer Content> ? Content : never

/**
 * Lets the compiler infer the types of `params` and of the content, which `register` cannot. Returns what it is given, to be spread into the
 * options of the plugin and of `runWorker`:
 *
 *     export const charts = defineCharts({ paramsSchema: Type.Object({ year: Type.Integer() }), generate: async ({ params }) => … })
 *     await app.register(asyncCharts, { redis, identify, ...charts })
 *     await runWorker({ redis, ...charts })
 *
 * A client of them is a `createChartsClient<ParamsOf<typeof charts>, ContentOf<typeof charts>>()`.
 */
export function defineCharts<Params = JsonValue, Content extends ChartContent = ChartContent> (charts: ChartsDefinition<Params, Content>): ChartsDefinition<Params, Content> {
  return charts
}
