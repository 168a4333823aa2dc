import type { JsonValue } from 'fastify-async-charts'
import type { Mark } from './plan.ts'

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
const COLORS = ['#4269d0', '#e08a00', '#3ca951', '#e0457b', '#6cc5b0', '#a463f2', '#97bbf5', '#9c6b4e', '#ff725c', '#9498a0', '#2f7a86', '#c2a300']

/** How each mark is drawn. */
export const MARKS: Record<Mark, { [key: string]: JsonValue }> = {
  bar: { type: 'bar', cornerRadiusEnd: 2 },
  line: { type: 'line', strokeWidth: 2, strokeCap: 'round', strokeJoin: 'round' },
  // One behind the other.
  area: { type: 'area', line: { strokeWidth: 1.5 }, fillOpacity: 0.12 },
  point: { type: 'point', filled: true, opacity: 0.75, size: 45 }
}

/** How it is drawn where the marks add up. */
export const STACKED_MARKS: Partial<typeof MARKS> = {
  bar: { type: 'bar' },
  area: { type: 'area', line: { strokeWidth: 1.5 }, fillOpacity: 0.55 }
}

/** The look of every chart, in the colours of the page. */
export const CONFIG: JsonValue = {
  background: 'transparent',
  padding: 12,
  font: FONT,
  view: { stroke: null },
  title: { anchor: 'start', frame: 'group', fontSize: 17, fontWeight: 600, subtitleFontSize: 13, subtitlePadding: 4, offset: 14, color: '#1d2433', subtitleColor: '#5b6478' },
  axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelColor: '#3d4557', titleColor: '#5b6478', gridColor: '#e3e6ec', domainColor: '#b8bfcc', tickColor: '#b8bfcc', labelLimit: 220 },
  legend: { orient: 'top', title: null, labelFontSize: 12, labelColor: '#3d4557', symbolSize: 90, columnPadding: 14, offset: 8, labelLimit: 0 },
  range: { category: COLORS },
  bar: { color: COLORS[0]! },
  line: { color: COLORS[0]! },
  area: { color: COLORS[0]! },
  point: { color: COLORS[0]! }
}
