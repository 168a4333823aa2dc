import type { Mark } from './plan.ts'
import { refusals } from './refusals.ts'
import type { Years } from './years.ts'

/** What a user wants to be different from the chart that the question alone would give. */
export interface Adjustment {
  mark?: Mark
  years?: Years
  color?: string
  sorted?: true
  top?: number
  logScale?: true
  title?: string
}

interface Rule {
  readonly pattern: RegExp
  readonly adjust: (groups: Record<string, string | undefined>) => Adjustment
}

const MARKS: Record<string, Mark> = { line: 'line', bar: 'bar', column: 'bar', area: 'area', scatter: 'point', point: 'point', dot: 'point' }

/** Each is tried where the one before has ended; sticky, so that nothing in between is skipped unseen. */
const RULES: readonly Rule[] = [
  {
    pattern: /title:\s*(?<title>\S.*)/isy,
    adjust: ({ title = '' }) => ({ title: title.trim().slice(0, 120) })
  },
  {
    pattern: /(?:as )?(?:an? )?(?<mark>line|bar|column|area|scatter|point|dot)s?(?: ?(?:chart|plot|graph))?\b/iy,
    adjust: ({ mark = '' }) => ({ mark: MARKS[mark.toLowerCase()]! })
  },
  {
    pattern: /(?:only )?(?:the )?top (?<top>[1-9]\d?)\b/iy,
    adjust: ({ top }) => ({ top: Number(top) })
  },
  {
    pattern: /(?:only|just)(?: in| for)? (?<year>\d{4})\b/iy,
    adjust: ({ year }) => ({ years: { from: Number(year), to: Number(year) } })
  },
  {
    pattern: /(?:from|between) (?<from>\d{4}) ?(?:to|until|through|and|-|–) ?(?<to>\d{4})\b/iy,
    adjust: ({ from, to }) => ({ years: { from: Number(from), to: Number(to) } })
  },
  {
    pattern: /(?:since|from) (?<from>\d{4})(?: on(?:wards?)?)?\b/iy,
    adjust: ({ from }) => ({ years: { from: Number(from), to: null } })
  },
  {
    pattern: /(?:until|up to) (?<to>\d{4})\b/iy,
    adjust: ({ to }) => ({ years: { from: null, to: Number(to) } })
  },
  {
    pattern: /(?:on an? |with an? )?log(?:arithmic)?(?:[ -]scale)?\b/iy,
    adjust: () => ({ logScale: true })
  },
  {
    pattern: /(?:sorted|ordered|sort)\b/iy,
    adjust: () => ({ sorted: true })
  },
  {
    pattern: /(?:colou?red |grouped |split )?by (?<color>[a-z_]+(?: [a-z_]+)*?)(?=\s*(?:$|[,;.]| (?:and|as|from|since|until|only|with|on|top|sorted|log|title)\b))/iy,
    adjust: ({ color = '' }) => ({ color })
  }
]

/** What may stand between two wishes without meaning anything. */
const FILLER = /(?:\s|[,;.]|\b(?:and|but|please|show|make|draw|it|them|this|me)\b)+/iy

function matchAt (pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Understands the whole text or refuses it: half an adjustment would be a chart that nobody has asked for. */
export function parseAdjustment (text: string): Adjustment {
  const adjustment: Adjustment = {}
  let at = 0
  for (;;) {
    at += matchAt(FILLER, text, at)?.[0].length ?? 0
    if (at === text.length) return adjustment
    const understood = RULES.some(({ pattern, adjust }) => {
      const match = matchAt(pattern, text, at)
      if (!match) return false
      Object.assign(adjustment, adjust(match.groups ?? {}))
      at += match[0].length
      return true
    })
    if (!understood) throw refusals.adjustmentNotUnderstood(text.slice(at).trim())
  }
}
