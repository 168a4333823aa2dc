import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { fieldOf } from '../../examples/charts/fields.ts'
import type { Row } from '../../examples/datasets/dataset.ts'
import { gapminder } from '../../examples/datasets/gapminder.ts'
import { iowaElectricity } from '../../examples/datasets/iowa-electricity.ts'
import { penguins } from '../../examples/datasets/penguins.ts'
import { seattleWeather } from '../../examples/datasets/seattle-weather.ts'
import { usEmployment } from '../../examples/datasets/us-employment.ts'

const { signal } = new AbortController()
const total = (rows: readonly Row[], field: string) => rows.reduce((sum, row) => sum + Number(row[field]), 0)
const mean = (rows: readonly Row[], field: string) => total(rows, field) / rows.length
const largest = (rows: readonly Row[], field: string) => rows.reduce((a, b) => Number(b[field]) > Number(a[field]) ? b : a)
const smallest = (rows: readonly Row[], field: string) => rows.reduce((a, b) => Number(b[field]) < Number(a[field]) ? b : a)

for (const { dataset } of messages) {
  t.test(`${dataset.title}: every row has the fields that are promised, and no others`, async t => {
    const rows = await dataset.rows(signal)
    t.ok(rows.length > 0 && rows.length < 1000, `${rows.length} rows`)
    for (const row of rows) {
      if (Object.keys(row).sort().join() !== Object.keys(dataset.fields).sort().join()) t.same(row, dataset.fields)
    }
    for (const [name, { type }] of Object.entries(dataset.fields)) {
      const isNumber = type === 'quantitative' || type === 'year'
      t.same(rows.filter(row => row[name] !== null && Number.isFinite(row[name]) !== isNumber), [], name)
    }
    t.ok(fieldOf(dataset, dataset.group), 'what colours by default is there')
    if (dataset.time !== null) t.ok(fieldOf(dataset, dataset.time) && fieldOf(dataset, 'year'), 'so is time')
  })

  t.test(`${dataset.title}: reading stops when nobody wants it`, async t => {
    await t.rejects(dataset.rows(AbortSignal.abort()), { name: 'AbortError' })
  })
}

t.test('the chat says what the weather data says', async t => {
  const rows = await seattleWeather.rows(signal)
  const inMonths = (...months: string[]) => total(rows.filter(({ month }) => months.includes(String(month))), 'precipitation') / 4
  t.equal(Math.round(inMonths('Nov')), 161)
  t.equal(Math.round(inMonths('Jul')), 12)
  t.equal((inMonths('Oct', 'Nov', 'Dec') / (total(rows, 'precipitation') / 4)).toFixed(2), '0.40')
})

t.test('the chat says what the employment data says', async t => {
  const rows = await usEmployment.rows(signal)
  const of = (sector: string) => rows.filter(row => row['sector'] === sector)
  t.match(largest(of('Manufacturing'), 'jobs'), { month: '2006-04-01', jobs: 14.226 })
  t.match(smallest(of('Manufacturing'), 'jobs'), { month: '2010-02-01', jobs: 11.453 })
  t.match(largest(of('Construction'), 'jobs'), { jobs: 7.726 })
  t.match(smallest(of('Construction'), 'jobs'), { month: '2011-01-01', jobs: 5.427 })
  t.match(of('Education and health').at(0), { jobs: 17.946 })
  t.match(of('Education and health').at(-1), { month: '2015-12-01', jobs: 22.318 })
})

t.test('the chat says what the electricity data says', async t => {
  const rows = await iowaElectricity.rows(signal)
  const renewables = rows.filter(({ source }) => source === 'Renewables')
  t.match(renewables.at(0), { year: 2001, generation: 1.437 })
  t.match(renewables.at(-1), { year: 2017, generation: 21.933 })
  t.equal((21.933 / total(rows.filter(({ year }) => year === 2017), 'generation')).toFixed(2), '0.39')
  t.match(largest(rows, 'generation'), { year: 2010, source: 'Fossil Fuels', generation: 42.75 })
})

t.test('the chat says what the penguin data says', async t => {
  const rows = (await penguins.rows(signal)).filter(row => row['body_mass'] !== null)
  const gentoo = rows.filter(({ species }) => species === 'Gentoo')
  t.equal((mean(gentoo, 'body_mass') / 1000).toFixed(1), '5.1')
  t.equal(Math.round(mean(gentoo, 'flipper_length')), 217)
  t.equal(correlation(rows, 'flipper_length', 'body_mass').toFixed(2), '0.87')
})

t.test('the chat says what the Gapminder data says', async t => {
  const rows = await gapminder.rows(signal)
  t.match(largest(rows.filter(({ year }) => year === 2005), 'life_expectancy'), { country: 'Japan', life_expectancy: 82.5 })
  t.match(largest(rows.filter(({ year }) => year === 1955), 'life_expectancy'), { country: 'Norway', life_expectancy: 73.21 })
})

function correlation (rows: readonly Row[], x: string, y: string): number {
  const deviations = rows.map(row => ({ dx: Number(row[x]) - mean(rows, x), dy: Number(row[y]) - mean(rows, y) }))
  const sum = (of: (deviation: { dx: number, dy: number }) => number) => deviations.reduce((total, deviation) => total + of(deviation), 0)
  return sum(({ dx, dy }) => dx * dy) / Math.sqrt(sum(({ dx }) => dx * dx) * sum(({ dy }) => dy * dy))
}
