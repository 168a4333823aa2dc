import type { Mark } from './plan.ts'

/** What a user asks to change in the chart that the question alone would give. What is absent was not mentioned. */
export interface Adjustment {
  mark?: Mark
  /** The first and the last year that is shown. */
  from?: number
  to?: number
  /** A field, as the user calls it: one colour for each of its values. */
  split?: string
  /** A field, as the user calls it, or null for the values that are measured. */
  sortedBy?: string | null
  top?: number
  logScale?: true
  title?: string
}

export type Part = keyof Adjustment

interface Clause {
  /** Sticky, so that the parser cannot skip a word between two clauses. A single space stands for any white space. */
  readonly pattern: RegExp
  readonly read: (groups: Record<string, string | undefined>) => Adjustment
}

const MARKS: Record<string, Mark> = { line: 'line', bar: 'bar', column: 'bar', area: 'area', scatter: 'point', point: 'point', dot: 'point' }
const MARK = Object.keys(MARKS).join('|')

/** Words that join two clauses and change nothing. */
const FILLER_WORDS = 'and|but|please|show|make|draw|it|them|this|me'

/** The name of a field ends before a word that can begin the next clause. */
const NEXT_CLAUSE = `${FILLER_WORDS}|${MARK}|as|an?|the (?:top|year)|only|just|top|in|for|from|between|since|after|before|` +
  'until|till|up|through|to|on|with|log|logarithmic|sort|sorted|order|ordered|by|per|split|grouped|colou?red|title'
const FIELD = `[a-z_]+(?: (?!(?:${NEXT_CLAUSE})s?\\b)[a-z_]+)*`

/** Every clause that is understood. Where two match at the same place, the first of them is taken. */
export const CLAUSES: readonly Clause[] = [
  {
    // A title in quotation marks can stand anywhere; any other goes on to the end of the text.
    pattern: /title: ?(?:["“] ?(?<quoted>[^"“” ][^"“”]*)["”]|(?<rest>[^"“” ].*))/iy,
    read: ({ quoted, rest = '' }) => ({ title: (quoted ?? rest).trim() })
  },
  {
    pattern: new RegExp(`(?:as )?(?:an? )?(?<mark>${MARK})s?(?: ?(?:chart|plot|graph)s?)?\\b`, 'iy'),
    read: ({ mark = '' }) => ({ mark: MARKS[mark.toLowerCase()]! })
  },
  {
    pattern: /(?:only )?(?:the )?top (?<top>[1-9]\d{0,2})\b(?: only\b)?/iy,
    read: ({ top }) => ({ top: Number(top) })
  },
  {
    pattern: /(?:(?:only|just) )?(?:(?:from|in|for) )?(?:(?:the )?years? )?(?<from>\d{4}) ?(?:to|until|till|up to|through|-|–|—) ?(?<to>\d{4})\b(?: (?:only|alone)\b)?/iy,
    read: ({ from, to }) => ({ from: Number(from), to: Number(to) })
  },
  {
    pattern: /(?:(?:only|just) )?between (?<from>\d{4}) ?(?:and|to|-|–|—) ?(?<to>\d{4})\b/iy,
    read: ({ from, to }) => ({ from: Number(from), to: Number(to) })
  },
  {
    pattern: /(?:since|from|starting (?:in|from)) (?<from>\d{4})\b(?: on(?:wards?)?\b(?! an? ))?/iy,
    read: ({ from }) => ({ from: Number(from) })
  },
  {
    pattern: /after (?<year>\d{4})\b/iy,
    read: ({ year }) => ({ from: Number(year) + 1 })
  },
  {
    pattern: /(?:until|till|up to|through|to) (?<to>\d{4})\b/iy,
    read: ({ to }) => ({ to: Number(to) })
  },
  {
    pattern: /before (?<year>\d{4})\b/iy,
    read: ({ year }) => ({ to: Number(year) - 1 })
  },
  {
    pattern: /(?:(?:only|just) )?(?:(?:in|for) )?(?:(?:the )?year )?(?<year>\d{4})\b(?: (?:only|alone)\b)?/iy,
    read: ({ year }) => ({ from: Number(year), to: Number(year) })
  },
  {
    pattern: /(?:(?:on|with|in) (?:an? )?)?log(?:arithmic)?(?:[ -]scale)?\b/iy,
    read: () => ({ logScale: true })
  },
  {
    pattern: new RegExp(`(?:sort|order)(?:ed)?\\b(?: it\\b)?(?: by (?<field>${FIELD}))?`, 'iy'),
    read: ({ field = null }) => ({ sortedBy: field })
  },
  {
    pattern: new RegExp(`(?:(?:colou?red|grouped|split) )?(?:by|per) (?<field>${FIELD})`, 'iy'),
    read: ({ field = '' }) => ({ split: field })
  }
]

export const FILLER = new RegExp(`(?:[ ,;.]|\\b(?:${FILLER_WORDS})\\b)+`, 'iy')
