import { CLAUSES, FILLER, type Adjustment, type Part } from './clauses.ts'
import { refusals } from './refusals.ts'

const MAX_TITLE_LENGTH = 120

interface Said {
  readonly value: unknown
  /** The words of the user, to quote them. */
  readonly words: string
}

/**
 * Reads the text as clauses, in any order, and keeps two promises: every word is part of a clause or a filler word, and no
 * clause overrides another. Half an adjustment would be a chart that nobody asked for.
 * @throws ADJUSTMENT_NOT_UNDERSTOOD, ADJUSTMENT_CONTRADICTORY
 */
export function parseAdjustment (input: string): Adjustment {
  const text = input.replaceAll(/\s+/g, ' ')
  const said = new Map<Part, Said>()
  let at = 0
  for (;;) {
    at += wordsAt(FILLER, text, at)?.[0].length ?? 0
    if (at === text.length) break
    const { words, adjustment } = clauseAt(text, at)
    for (const [part, value] of Object.entries(adjustment)) say(said, part as Part, { value, words })
    at += words.length
  }
  return Object.fromEntries([...said].map(([part, { value }]) => [part, value]))
}

/** A part of the chart may be mentioned twice only if both clauses agree: the same mark, the same first year. */
function say (said: Map<Part, Said>, part: Part, now: Said): void {
  const before = said.get(part)
  if (before && before.value !== now.value) throw refusals.adjustmentContradictory(before.words, now.words, part)
  said.set(part, now)
}

function clauseAt (text: string, at: number): { words: string, adjustment: Adjustment } {
  for (const { pattern, read } of CLAUSES) {
    const match = wordsAt(pattern, text, at)
    if (!match) continue
    const adjustment = read(match.groups ?? {})
    if ((adjustment.title ?? '').length > MAX_TITLE_LENGTH) throw refusals.titleTooLong(MAX_TITLE_LENGTH)
    return { words: match[0], adjustment }
  }
  throw refusals.adjustmentNotUnderstood(text.slice(at))
}

function wordsAt (pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}
