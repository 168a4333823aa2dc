import type { Plan, Row } from './generate-chart.ts'

/** What a model or a user has written is text in the drawing, and never markup. */
const escaped = (text: unknown) => String(text).replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)

/** A bar for each row, as SVG. */
export function drawBars ({ title, x, y }: Plan, rows: readonly Row[]): string {
  const most = Math.max(...rows.map(row => Number(row[y])), 1)
  const bars = rows.map((row, i) => {
    const height = Math.max(0, Number(row[y]) / most * 100)
    return `<rect x="${i * 60}" y="${120 - height}" width="50" height="${height}"><title>${escaped(row[x])}: ${escaped(row[y])}</title></rect>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${rows.length * 60} 120" role="img"><title>${escaped(title)}</title>${bars.join('')}</svg>`
}
