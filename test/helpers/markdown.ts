import { readFileSync } from 'node:fs'
import { root } from './root.ts'

export interface Snippet {
  readonly language: string
  /** What its first line calls it: `// server.js`. */
  readonly name: string | null
  readonly source: string
}

/** A page of the project, by its path in it. */
export const readPage = (path: string) => readFileSync(new URL(path, root), 'utf8')

const FENCE = /^```(\w*)\n([^]*?)^```$/gm

export function snippetsOf (page: string): Snippet[] {
  return [...page.matchAll(FENCE)].map(([, language, source]) => ({
    language: language!, name: /^(?:\/\/|<!--) (\S+)/.exec(source!)?.[1] ?? null, source: source!
  }))
}

/** The page without its code: what stands there is no heading and no link. */
export const proseOf = (page: string) => page.replace(FENCE, '')

/** The anchors of a page, made as GitHub makes them. */
export function anchorsOf (page: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading] of proseOf(page).matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = heading!.toLowerCase().replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '').replaceAll(' ', '-')
    let anchor = slug
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`
    anchors.add(anchor)
  }
  return anchors
}
