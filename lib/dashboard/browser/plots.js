// Draws plots from the table of the history. The table is the only source of the numbers.

import UPlot from 'uplot'

const HEIGHT = 190
const FONT = '12px system-ui, sans-serif'

const duration = ms => ms < 1_000 ? `${Math.round(ms)} ms` : ms < 60_000 ? `${Number((ms / 1_000).toFixed(1))} s` : `${Number((ms / 60_000).toFixed(1))} min`
const count = value => value.toLocaleString('en-US')

/** For each plot: the columns of the table, whether their values are stacked, and the format of values. */
const PLOTS = {
  finished: { columns: ['completed', 'failed', 'cancelled'], isStacked: true, format: count },
  times: { columns: ['wait', 'run'], isStacked: false, format: duration }
}
const NAMES = { completed: 'completed', failed: 'failed', cancelled: 'cancelled', wait: 'wait', run: 'run' }

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

const shown = new Map()

function readTable () {
  const rows = [...document.querySelectorAll('table[data-history] tbody tr')]
  const values = (name, none) => rows.map(row => {
    const cell = row.querySelector(`[data-column="${name}"]`)
    return cell === null ? none : Number(cell.value)
  })
  return { times: rows.map(row => Date.parse(row.dataset.key) / 1_000), values }
}

const colorOf = name => window.getComputedStyle(document.body).getPropertyValue(`--${name}`).trim()

/** The data in the order in which uPlot draws it: the highest stack first, because lower ones cover it. */
function dataOf ({ columns, isStacked }, { times, values }) {
  const series = columns.map(name => values(name, isStacked ? 0 : null))
  if (!isStacked) return [times, ...series]
  const stacked = series.map((_, i) => times.map((_, t) => series.slice(0, i + 1).reduce((sum, column) => sum + column[t], 0)))
  return [times, ...stacked.reverse()]
}

function optionsOf ({ columns, isStacked, format }, width, tell) {
  const axis = { stroke: colorOf('soft'), font: FONT, grid: { stroke: colorOf('line'), width: 1 }, ticks: { show: false } }
  const drawn = isStacked ? columns.toReversed() : columns
  return {
    width,
    height: HEIGHT,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: !isStacked }, drag: { x: false, y: false } },
    // Half a slice of margin at both ends, so that the first and the last bar are not cut.
    scales: { x: { time: true, range: (_plot, first, last) => isStacked ? [first - (last - first) / 120, last + (last - first) / 120] : [first, last] }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 28, gap: 6, grid: { show: false }, values: (_plot, ticks) => ticks.map(tick => clock.format(tick * 1_000)) },
      { ...axis, size: 56, gap: 8, values: (_plot, ticks) => ticks.map(tick => tick === 0 ? '0' : isStacked && !Number.isInteger(tick) ? '' : format(tick)) }
    ],
    series: [{}, ...drawn.map(name => isStacked
      ? { fill: colorOf(name), stroke: colorOf(name), width: 0, points: { show: false }, paths: UPlot.paths.bars({ size: [0.8, 24] }) }
      : { stroke: colorOf(name), width: 2, points: { show: true, size: 4, fill: colorOf(name) }, spanGaps: false })],
    hooks: { setCursor: [plot => tell(plot.cursor.idx)] }
  }
}

function make (figure) {
  const kind = PLOTS[figure.dataset.plot]
  const place = figure.querySelector('.canvas')
  const readout = document.createElement('p')
  readout.className = 'readout'
  let table = readTable()
  let plot = null
  const tell = i => {
    const at = i === null || i === undefined ? undefined : table.times[i]
    const texts = at === undefined ? [] : kind.columns.map(name => [name, table.values(name, null)[i]]).filter(([, value]) => value !== null)
    readout.textContent = at === undefined ? '' : `${clock.format(at * 1_000)}: ${texts.map(([name, value]) => `${NAMES[name]} ${kind.format(value)}`).join(', ') || 'nothing'}`
  }
  const renew = () => {
    plot?.destroy()
    plot = new UPlot(optionsOf(kind, place.clientWidth, tell), dataOf(kind, table), place)
    place.append(readout)
  }
  renew()
  new window.ResizeObserver(() => { if (plot.width !== place.clientWidth) plot.setSize({ width: place.clientWidth, height: HEIGHT }) }).observe(place)
  return {
    renew,
    update () {
      table = readTable()
      plot.setData(dataOf(kind, table))
    }
  }
}

/** Draws new plots and updates existing ones from the table. */
export function draw () {
  for (const figure of document.querySelectorAll('[data-plot]')) {
    const known = shown.get(figure)
    if (known) known.update()
    else shown.set(figure, make(figure))
  }
}

// The plots take their colours from the style sheet.
for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
  window.matchMedia(query).addEventListener('change', () => { for (const { renew } of shown.values()) renew() })
}
