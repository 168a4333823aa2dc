import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { parseAdjustment } from '../../examples/charts/adjustment.ts'
import { inAnyOrder, somePhrases, PHRASES } from '../helpers/phrases.ts'

const sorted = (adjustment: object) => Object.entries(adjustment).sort()

const understood = {
  'as a line chart': { mark: 'line' },
  bar: { mark: 'bar' },
  'Make it a column chart, please': { mark: 'bar' },
  'show as area': { mark: 'area' },
  'as a scatter plot': { mark: 'point' },
  'only 2015': { from: 2015, to: 2015 },
  'just in 2015': { from: 2015, to: 2015 },
  'from 2012 to 2014': { from: 2012, to: 2014 },
  'between 2012 and 2014': { from: 2012, to: 2014 },
  'from 2012-2014': { from: 2012, to: 2014 },
  'since 2013': { from: 2013 },
  'from 2013 on': { from: 2013 },
  'until 2014': { to: 2014 },
  'log scale': { logScale: true },
  'on a logarithmic scale': { logScale: true },
  sorted: { sortedBy: null },
  'the top 5': { top: 5 },
  'by species': { split: 'species' },
  'coloured by beak length as a scatter chart': { split: 'beak length', mark: 'point' },
  'by beak_length': { split: 'beak_length' },
  'title: Rain, and only rain; by the month': { title: 'Rain, and only rain; by the month' },
  'as a bar chart by weather only 2015 and sorted, title: Wet': {
    mark: 'bar', split: 'weather', from: 2015, to: 2015, sortedBy: null, title: 'Wet'
  },
  'until 2012 since 2010': { from: 2010, to: 2012 },
  'since 2010 until 2012': { from: 2010, to: 2012 },
  'from 2010 to 2012': { from: 2010, to: 2012 },
  'since 2010 to 2012': { from: 2010, to: 2012 },
  'from 2010, and up to 2012': { from: 2010, to: 2012 },
  'after 2010, before 2014': { from: 2011, to: 2013 },
  '2015 only': { from: 2015, to: 2015 },
  'only 2015, in 2015': { from: 2015, to: 2015 },
  'in 2008': { from: 2008, to: 2008 },
  'for the year 2008': { from: 2008, to: 2008 },
  2008: { from: 2008, to: 2008 },
  '2008-2010': { from: 2008, to: 2010 },
  '2008 – 2010': { from: 2008, to: 2010 },
  'only 2008 to 2010': { from: 2008, to: 2010 },
  'the years 2008 to 2010': { from: 2008, to: 2010 },
  'by weather 2015': { split: 'weather', from: 2015, to: 2015 },
  'by weather in 2015 on a log scale': { split: 'weather', from: 2015, to: 2015, logScale: true },
  'from 2013 on a log scale': { from: 2013, logScale: true },
  'from 2013 onwards, log': { from: 2013, logScale: true },
  'per island': { split: 'island' },
  'sorted by month': { sortedBy: 'month' },
  'sorted, by weather': { sortedBy: null, split: 'weather' },
  'sort it by body mass as a bar chart': { sortedBy: 'body mass', mark: 'bar' },
  'top 5 only': { top: 5 },
  'only top 100': { top: 100 },
  'title: "Wet, and by month", as a line chart': { title: 'Wet, and by month', mark: 'line' },
  'title: “Wet” as a line chart': { title: 'Wet', mark: 'line' },
  'as a line chart, title: Rain, line by line': { mark: 'line', title: 'Rain, line by line' },
  'as  a\tline\n chart': { mark: 'line' },
  'as a line chart, as a line': { mark: 'line' },
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
  'title: "Wet': 'title: "Wet',
  'not sorted': 'not sorted',
  'bottom 5': 'bottom 5',
  'by island and sex': 'sex',
  'log scale, as a pie chart, top 5': 'as a pie chart',
  '2008-10': '-10',
  'sorted by': 'by',
  'without 2015': 'without 2015',
  barbecue: 'barbecue'
}

for (const [text, rest] of Object.entries(refused)) {
  t.test(`“${text}” is refused as a whole`, async t => {
    t.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_NOT_UNDERSTOOD', retryable: false, message: new RegExp(`^“${rest}” was not understood.*as a bar`) })
  })
}

const contradictory = {
  'only 2012 and only 2015': ['only 2012', 'only 2015', 'one span of years'],
  'only 2012 and 2015': ['only 2012', '2015', 'one span of years'],
  'in 2012, since 2010': ['in 2012', 'since 2010', 'one span of years'],
  'from 2010 to 2012, until 2014': ['from 2010 to 2012', 'until 2014', 'one span of years'],
  'as a bar chart, log scale, as a line chart': ['as a bar chart', 'as a line chart', 'drawn in one way'],
  'lines and dots': ['lines', 'dots', 'drawn in one way'],
  'by island by sex': ['by island', 'by sex', 'split by one field'],
  'sorted, sorted by month': ['sorted', 'sorted by month', 'one order'],
  'top 5, top 3': ['top 5', 'top 3', 'one “top”'],
  'title: "Wet", title: Dry': ['title: "Wet"', 'title: Dry', 'one title']
}

for (const [text, [first, second, reason]] of Object.entries(contradictory)) {
  t.test(`“${text}” contradicts itself`, async t => {
    t.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_CONTRADICTORY', retryable: false, message: new RegExp(`^“${first}” and “${second}” contradict each other: a chart .*${reason}`) })
  })
}

t.test('clauses mean the same in any order', async () => {
  fc.assert(fc.property(somePhrases().chain(inAnyOrder), ({ text, phrases }) => {
    assert.deepEqual(sorted(parseAdjustment(text)), sorted(Object.assign({}, ...phrases.map(({ means }) => means))))
  }))
})

t.test('of two clauses that disagree neither wins, whatever stands between them', async () => {
  const [one, other] = [fc.constantFrom(...PHRASES.flat()), fc.constantFrom(...PHRASES.flat())]
  fc.assert(fc.property(one, other, somePhrases(), (a, b, between) => {
    const part = Object.keys(a.means).find(part => part in b.means) as keyof typeof a.means
    fc.pre(part !== undefined && a.means[part] !== b.means[part])
    const compatible = between.filter(({ means }) => !Object.keys(means).some(part => part in a.means || part in b.means))
    const text = [a, ...compatible, b].map(({ says }) => says).join(', ')
    assert.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_CONTRADICTORY', message: new RegExp(`^“${a.says}” and “${b.says}” contradict each other: `) })
  }))
})

t.test('one phrase that is not understood is named, wherever it stands', async () => {
  const strange = fc.constantFrom('as a pie chart', 'in purple', 'bottom 5', 'not sorted', 'with a trend line', '20155', 'top five', 'without rain')
  fc.assert(fc.property(somePhrases(), strange, fc.nat(), (phrases, strange, at) => {
    const text = phrases.map(({ says }) => says).toSpliced(at % (phrases.length + 1), 0, strange).join(', ')
    assert.throws(() => parseAdjustment(text), { code: 'ADJUSTMENT_NOT_UNDERSTOOD', message: new RegExp(`^“${strange}” was not understood`) })
  }))
})

t.test('a title is taken whole or refused', async t => {
  t.same(parseAdjustment(`title: ${'x'.repeat(120)}`), { title: 'x'.repeat(120) })
  for (const title of ['x'.repeat(121), `"${'x'.repeat(121)}"`]) {
    t.throws(() => parseAdjustment(`title: ${title}`), { code: 'ADJUSTMENT_NOT_POSSIBLE', message: 'A title can have at most 120 characters' })
  }
})

t.test('what is quoted back is short, and read in linear time', async t => {
  for (const text of ['x'.repeat(60_000), `by ${'a '.repeat(30_000)}!`, `${'and '.repeat(15_000)}!`, `title: "${'x '.repeat(30_000)}`, `sorted by ${'a_ '.repeat(20_000)}!`, `!${', '.repeat(30_000)}`]) {
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
