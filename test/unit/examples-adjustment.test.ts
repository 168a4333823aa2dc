import t from 'tap'
import { parseAdjustment } from '../../examples/charts/adjustment.ts'

const understood = {
  'as a line chart': { mark: 'line' },
  bar: { mark: 'bar' },
  'Make it a column chart, please': { mark: 'bar' },
  'show as area': { mark: 'area' },
  'as a scatter plot': { mark: 'point' },
  'only 2015': { years: { from: 2015, to: 2015 } },
  'just in 2015': { years: { from: 2015, to: 2015 } },
  'from 2012 to 2014': { years: { from: 2012, to: 2014 } },
  'between 2012 and 2014': { years: { from: 2012, to: 2014 } },
  'from 2012-2014': { years: { from: 2012, to: 2014 } },
  'since 2013': { years: { from: 2013, to: null } },
  'from 2013 on': { years: { from: 2013, to: null } },
  'until 2014': { years: { from: null, to: 2014 } },
  'log scale': { logScale: true },
  'on a logarithmic scale': { logScale: true },
  sorted: { sorted: true },
  'the top 5': { top: 5 },
  'by species': { color: 'species' },
  'coloured by beak length as a scatter chart': { color: 'beak length', mark: 'point' },
  'by beak_length': { color: 'beak_length' },
  'title: Rain, and only rain; by the month': { title: 'Rain, and only rain; by the month' },
  'as a bar chart by weather only 2015 and sorted, title: Wet': {
    mark: 'bar', color: 'weather', years: { from: 2015, to: 2015 }, sorted: true, title: 'Wet'
  },
  '  ,. ': {},
  '': {}
}

for (const [text, adjustment] of Object.entries(understood)) {
  t.test(`“${text}” is understood`, async t => t.same(parseAdjustment(text), adjustment))
}

const refused = {
  'as a pie chart': 'as a pie chart',
  'make it purple': 'purple',
  'as a line chart in purple': 'in purple',
  'only 20155': 'only 20155',
  'top 0': 'top 0',
  'title:': 'title:',
  barbecue: 'barbecue'
}

for (const [text, rest] of Object.entries(refused)) {
  t.test(`“${text}” is refused as a whole`, async t => {
    t.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_NOT_UNDERSTOOD', retryable: false, message: new RegExp(`^“${rest}” was not understood.*as a bar`) })
  })
}

t.test('what is quoted back is short, and read in linear time', async t => {
  for (const text of ['x'.repeat(60_000), `by ${'a '.repeat(30_000)}!`, `${'and '.repeat(15_000)}!`]) {
    const begun = performance.now()
    t.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_NOT_UNDERSTOOD' })
    t.ok(performance.now() - begun < 1_000)
    try {
      parseAdjustment(text)
    } catch (error) {
      t.ok((error as Error).message.length < 400)
    }
  }
})
