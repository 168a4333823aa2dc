import { createHash } from 'node:crypto'
import * as rules from '../rules.ts'
import { entries, fragments } from './lua.generated.ts'

/** A script as Redis is given it, and the name by which it finds it again. */
export interface Script {
  readonly sha: string
  readonly source: string
}

export type ScriptName = keyof typeof entries

/** Each fragment stands where it is first asked for, and nowhere else. */
function expand (source: string, included: Set<string>): string {
  return source.replace(/^ *--- @include "([\w-]+)"$/gm, (_, name: string) => {
    if (included.has(name)) return ''
    included.add(name)
    return expand(fragments[name]!, included)
  })
}

const ruleNamed = (name: string): number => {
  const rule = (rules as Readonly<Record<string, number>>)[name]
  /* c8 ignore next -- a mistake in a .lua file, with which no script could be loaded */
  if (rule === undefined) throw new Error(`a Lua script names the unknown rule ${name}`)
  return rule
}

function compose (entry: string): Script {
  const source = expand(entry, new Set()).replace(/\n{2,}/g, '\n').replace(/\bRULES\.(\w+)/g, (_, name: string) => `${ruleNamed(name)}`)
  return { sha: createHash('sha1').update(source).digest('hex'), source }
}

/** Composed once in a process: most fragments are part of many scripts. */
export const scripts = Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, compose(entry)])) as Readonly<Record<ScriptName, Script>>
