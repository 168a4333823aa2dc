// Adjustments as users write them, for properties that hold for all of them.
import fc from 'fast-check'
import type { Adjustment } from '../../examples/charts/clauses.ts'

export interface Phrase {
  readonly says: string
  readonly means: Adjustment
}

const phrases = (all: Record<string, Adjustment>): Phrase[] => Object.entries(all).map(([says, means]) => ({ says, means }))

const SINCE = phrases({ 'since 2010': { from: 2010 }, 'after 2004': { from: 2005 }, 'from 2002 on': { from: 2002 }, 'from 2013': { from: 2013 } })
const UNTIL = phrases({ 'until 2014': { to: 2014 }, 'before 2006': { to: 2005 }, 'up to 2012': { to: 2012 }, 'through 2015': { to: 2015 } })
const SPANS = phrases({
  'only 2015': { from: 2015, to: 2015 },
  'in 2005': { from: 2005, to: 2005 },
  '2008 only': { from: 2008, to: 2008 },
  '2008-2010': { from: 2008, to: 2010 },
  'from 2012 to 2014': { from: 2012, to: 2014 },
  'between 2001 and 2014': { from: 2001, to: 2014 }
})

const MARKS = phrases({
  'as a bar chart': { mark: 'bar' }, columns: { mark: 'bar' }, 'as a line chart': { mark: 'line' }, 'as an area graph': { mark: 'area' }, 'scatter plot': { mark: 'point' }
})
const SPLITS = phrases({
  'by year': { split: 'year' },
  'by month': { split: 'month' },
  'by weather': { split: 'weather' },
  'split by sector': { split: 'sector' },
  'per source': { split: 'source' },
  'by island': { split: 'island' },
  'coloured by beak length': { split: 'beak length' },
  'by region': { split: 'region' },
  'grouped by country': { split: 'country' }
})
const ORDERS = phrases({
  sorted: { sortedBy: null },
  'sorted by month': { sortedBy: 'month' },
  'ordered by precipitation': { sortedBy: 'precipitation' },
  'sorted by country': { sortedBy: 'country' },
  'sorted by species': { sortedBy: 'species' },
  'sort it by year': { sortedBy: 'year' },
  'sorted by body mass': { sortedBy: 'body mass' }
})
const TOPS = phrases({ 'top 1': { top: 1 }, 'the top 3': { top: 3 }, 'only the top 10': { top: 10 } })
const SCALES = phrases({ 'log scale': { logScale: true }, 'on a logarithmic scale': { logScale: true } })
const TITLES = phrases({ 'title: "Sorted by hand, only 1990"': { title: 'Sorted by hand, only 1990' } })

/** Phrases of one group disagree with each other, unless they mean the same. */
export const PHRASES = [SINCE, UNTIL, SPANS, MARKS, SPLITS, ORDERS, TOPS, SCALES, TITLES]

/** Phrases that do not contradict each other, one of each group at most and rarely all of them. */
export function somePhrases (isWanted: (phrase: Phrase) => boolean = () => true): fc.Arbitrary<Phrase[]> {
  const maybe = (group: readonly Phrase[]) => fc.option(fc.constantFrom(...group), { nil: null, freq: 2 })
    .map(phrase => phrase !== null && isWanted(phrase) ? phrase : null)
  const years = fc.oneof(maybe(SPANS).map(span => [span]), fc.tuple(maybe(SINCE), maybe(UNTIL)))
  const rest = fc.tuple(...[MARKS, SPLITS, ORDERS, TOPS, SCALES, TITLES].map(maybe))
  return fc.tuple(years, rest).map(groups => groups.flat().filter(phrase => phrase !== null))
}

/** The phrases in any order as one text, with anything between them that joins two clauses. */
export function inAnyOrder (phrases: Phrase[]): fc.Arbitrary<{ text: string, phrases: Phrase[] }> {
  const order = fc.shuffledSubarray(phrases, { minLength: phrases.length })
  const joints = fc.array(fc.constantFrom(', ', ' ', ' and ', '; ', ' but '), { minLength: phrases.length, maxLength: phrases.length })
  return fc.tuple(order, joints).map(([order, joints]) => ({ phrases, text: order.reduce((text, { says }, i) => text + jointOf(order[i - 1], says, joints[i]!) + says, '') }))
}

function jointOf (before: Phrase | undefined, says: string, joint: string): string {
  if (before === undefined) return ''
  // “sorted by month” is another clause than “sorted” and “by month”.
  return before.says === 'sorted' && /^(?:by|per) /.test(says) ? ', ' : joint
}
