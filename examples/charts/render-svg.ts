import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Row } from '../datasets/dataset.ts'
import { FONT_SIZES } from './chart-style.ts'
import { textWidth } from './text.ts'
import type { VegaLiteSpec } from './vega-lite-spec.ts'

/** Exported by Vega, and missing in its declarations. */
const { setRandom, randomLCG, textMetrics } = vega as unknown as {
  setRandom (random: () => number): void
  randomLCG (seed: number): () => number
  textMetrics: { width (item: { fontSize?: number, fontWeight?: unknown }, text: unknown): number }
}

// Without a canvas Vega takes text for much wider than it is, and leaves that much less for the chart.
textMetrics.width = ({ fontSize = FONT_SIZES.label, fontWeight }, text) => textWidth(String(text ?? ''), fontSize, Number(fontWeight) > 500)

/** Vega warns and draws an empty chart where it should fail. */
function throwing (...details: unknown[]): never {
  throw new Error(`Vega: ${details.join(' ')}`)
}

/** What a specification names is fetched from nowhere: neither data nor images. */
const denyingLoader: vega.Loader = {
  load: async uri => throwing('refused to load', uri),
  sanitize: async uri => throwing('refused to load', uri),
  http: async uri => throwing('refused to load', uri),
  file: async path => throwing('refused to read', path)
}

const strictLogger = Object.assign(vega.logger(vega.Warn), { warn: throwing, error: throwing })

let last: Promise<unknown> = Promise.resolve()

/**
 * Renders without a browser. The same specification and rows give the same bytes, in whatever process and time zone.
 * One after the other: Vega numbers what it draws, and draws its lots, in counters of the whole process.
 */
export function renderSvg (spec: VegaLiteSpec, rows: readonly Row[]): Promise<string> {
  const turn = last.then(() => render(spec, rows))
  last = turn.catch(() => {})
  return turn
}

async function render (spec: VegaLiteSpec, rows: readonly Row[]): Promise<string> {
  checkFields(spec, rows)
  // A copy: Vega writes marks of its own into the rows it draws.
  const { spec: compiled } = compile({ ...spec, datasets: { rows: structuredClone(rows) } } as unknown as TopLevelSpec, { logger: strictLogger })
  vega.resetSVGDefIds()
  setRandom(randomLCG(1))
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', loader: denyingLoader, logger: strictLogger })
  try {
    return withDarkScheme(await view.toSVG())
  } finally {
    view.finalize()
  }
}

/** An unknown field gives a valid and blank chart. What a stack is ordered by Vega-Lite counts itself. */
function checkFields ({ encoding: { order, ...encoding } }: VegaLiteSpec, rows: readonly Row[]): void {
  for (const [channel, { field }] of Object.entries(encoding)) {
    if (typeof field === 'string' && !rows.every(row => Object.hasOwn(row, field))) {
      throw new Error(`The specification draws ${field} as ${channel}, which the rows do not have`)
    }
  }
}

/** As an image, an SVG follows the colour scheme of the page around it. */
const DARK = `@media (prefers-color-scheme: dark) {
.role-title-text text { fill: #eef1f7 }
.role-title-subtitle text, .role-axis-title text { fill: #a3adc2 }
.role-axis-label text, .role-legend-label text, .role-legend-title text { fill: #c9d0de }
.role-axis-grid line { stroke: #333b4d }
.role-axis-domain line, .role-axis-tick line { stroke: #566079 }
}`

function withDarkScheme (svg: string): string {
  return svg.replace(/^<svg[^>]*>/, tag => `${tag}<style>${DARK}</style>`)
}
