import type { JsonValue } from 'fastify-async-charts'
import type { Mark } from './plan.ts'

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
const COLORS = ['#4269d0', '#e08a00', '#3ca951', '#e0457b', '#6cc5b0', '#a463f2', '#97bbf5', '#9c6b4e', '#ff725c', '#9498a0', '#2f7a86', '#c2a300']

/**
 * For years and measures, from the first to the last. All as light as one another, so that they are seen on white and on
 * black: what runs is the hue.
 */
const SEQUENCE = { scheme: ['#2f8f9d', '#3f7be0', '#a15ad8', '#dc4a94', '#e8613a', '#c98500'] }

export const FONT_SIZES = { title: 17, subtitle: 13, label: 12 }

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
  padding: 4,
  lineBreak: '\n',
  font: FONT,
  view: { stroke: null },
  title: { anchor: 'start', frame: 'bounds', fontSize: FONT_SIZES.title, fontWeight: 600, subtitleFontSize: FONT_SIZES.subtitle, subtitlePadding: 4, offset: 14, color: '#1d2433', subtitleColor: '#5b6478' },
  axis: { labelFontSize: FONT_SIZES.label, titleFontSize: FONT_SIZES.label, titleFontWeight: 500, labelColor: '#3d4557', titleColor: '#5b6478', gridColor: '#e3e6ec', domainColor: '#b8bfcc', tickColor: '#b8bfcc', labelLimit: 220, labelSeparation: 8 },
  legend: { orient: 'top', title: null, labelFontSize: FONT_SIZES.label, labelColor: '#3d4557', symbolSize: 90, columnPadding: 14, offset: 8, labelLimit: 0 },
  range: { category: COLORS, ordinal: SEQUENCE, ramp: SEQUENCE },
  bar: { color: COLORS[0]! },
  line: { color: COLORS[0]! },
  area: { color: COLORS[0]! },
  point: { color: COLORS[0]! }
}
