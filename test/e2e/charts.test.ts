import t from 'tap'
import type { Chart } from 'fastify-async-charts'
import type { ChartContent } from '../../examples/charts/generate-chart.ts'
import { messages } from '../../examples/chat/messages.ts'
import { startDemo } from './chat.ts'
import { Visitor } from './visitor.ts'

const [weather, employment, , penguins, gapminder] = messages.map(({ id }) => id) as [string, string, string, string, string]

interface Mark {
  readonly kind: string
  readonly color: string
  /** px from the left and from the top, of a bar. */
  readonly left: number
  readonly top: number
}

/** The marks of the data, by the field that their colour shows. */
function marksOf ({ svg }: ChartContent, field: string): Mark[] {
  const marks = svg.matchAll(new RegExp(`aria-label="[^"]*\\b${field}: ([^;"]+)[^>]* d="M([\\d.-]+),([\\d.-]+)[^>]*?(?:fill|stroke)="(#?[^"]+)"`, 'g'))
  return [...marks].map(([, kind = '', left, top, color = '']) => ({ kind, color, left: Number(left), top: Number(top) }))
}

function legendOf ({ svg }: ChartContent): string[] {
  return [...svg.matchAll(/role-legend-label"[^>]*><text[^>]*>([^<]+)/g)].map(([, label = '']) => label)
}

function luminance (color: string): number {
  const parts = color.startsWith('#') ? color.match(/[\da-f]{2}/g)!.map(hex => Number.parseInt(hex, 16)) : color.match(/\d+/g)!.map(Number)
  const [r = 0, g = 0, b = 0] = parts.map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast (a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

t.test('the charts of the demo', async t => {
  const demo = await startDemo(t, 0)
  const ada = await Visitor.arrive(demo.address)
  const chart = async (message_id: string, adjustment: string | null = null) => {
    const { task_id } = await ada.finished((await ada.accepted(message_id, adjustment)).task_id)
    return (await (await ada.ask(`/async/${task_id}/result`)).json() as Chart).content as unknown as ChartContent
  }

  await t.test('years are seen on white and on black', async t => {
    const years = marksOf(await chart(weather, 'as a line chart by year'), 'year')
    t.equal(new Set(years.map(({ color }) => color)).size, 4)
    for (const { kind, color } of years) {
      for (const surface of ['#ffffff', '#1a1f2a']) t.ok(contrast(color, surface) >= 3, `${kind} is ${color} on ${surface}`)
    }
  })

  await t.test('what is on top is so in the year that the answer is about, and the chart says which', async t => {
    const countries = ({ rows }: ChartContent) => [...new Set(rows.map(({ country }) => country))].sort()
    const lines = await chart(gapminder, 'as a line chart, top 5')
    t.same(countries(lines), countries(await chart(gapminder, 'top 5')))
    t.match(lines.svg, 'Gapminder, 1955–2005, top 5 of 2005')
    t.match((await chart(employment, 'top 2')).svg, 'top 2 of December 2015')
    t.match((await chart(gapminder)).svg, 'Gapminder, 2005, top 10')
  })

  await t.test('an average says that it is one', async t => {
    const masses = await chart(penguins, 'as a bar chart')
    t.equal(masses.title, 'Average body mass by species')
    t.match(masses.svg, '>Average body mass (g)<')
    t.match((await chart(weather)).svg, '>Average precipitation (mm)<')
    t.notMatch((await chart(weather, 'only 2015')).svg, 'Average')
  })

  await t.test('rain is blue, and the legend has what is drawn', async t => {
    for (const adjustment of ['by weather', 'by weather, as an area chart']) {
      const kinds = await chart(weather, adjustment)
      const marks = marksOf(kinds, 'weather')
      t.same(legendOf(kinds), ['snow', 'rain'])
      t.same([...new Set(marks.map(({ kind }) => kind))].sort(), ['rain', 'snow'])
      t.match(kinds.rows.map(row => row['weather']), ['drizzle'], 'the data has all of it')
    }
    t.same([...new Set(marksOf(await chart(weather, 'by weather, only 2015'), 'weather').filter(({ kind }) => kind === 'rain').map(({ color }) => color))], ['#3a76d0'])
  })

  await t.test('the legend goes down the stack', async t => {
    const stacked = await chart(employment, 'as a bar chart, top 3')
    const marks = marksOf(stacked, 'sector')
    const first = Math.min(...marks.map(({ left }) => left))
    const downwards = marks.filter(({ left }) => left === first).sort((a, b) => a.top - b.top)
    t.same(downwards.map(({ kind }) => kind), legendOf(stacked))
    t.equal(downwards.length, 3)
  })

  await t.test('a sector has the same colour in every chart', async t => {
    const colors = async (adjustment: string) => new Map(marksOf(await chart(employment, adjustment), 'sector').map(({ kind, color }) => [kind, color]))
    const all = await colors('as a bar chart')
    t.equal(all.size, 5)
    for (const [kind, color] of await colors('as a bar chart, top 2')) t.equal(color, all.get(kind))
  })

  await t.test('there is a drawing for a desk and one for a phone, with labels of the same size', async t => {
    for (const { id } of messages) {
      const { svg, narrow_svg } = await chart(id, 'title: Of both')
      t.match(svg, /^<svg[^>]* width="620"/)
      t.match(narrow_svg, /^<svg[^>]* width="300"/)
      const sizes = (drawing: string) => [...new Set(drawing.match(/font-size="\d+px"/g))].sort()
      t.same(sizes(narrow_svg), sizes(svg))
    }
  })
})
