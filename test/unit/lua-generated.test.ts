import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { test } from 'tap'
import { entries, fragments } from '../../lib/store/redis/lua.generated.ts'
import { scripts } from '../../lib/store/redis/scripts.ts'
import * as rules from '../../lib/store/rules.ts'
import { root } from '../helpers/root.ts'

test('lua.generated.ts is what the .lua files say', async (t) => {
  const generator = new URL('scripts/generate-lua.js', root).pathname
  await t.resolves(promisify(execFile)(process.execPath, [generator, '--check']))
})

test('every script stands alone and goes by its own sha', async (t) => {
  for (const [name, { sha, source }] of Object.entries(scripts)) {
    t.match(source, /^#!lua\b/, `${name} says which engine it is for, so that Redis checks its flags`)
    t.notMatch(source, /@include/, `${name} includes nothing any more`)
    t.notMatch(source, /RULES/, `${name} has the values of the rules`)
    t.equal(createHash('sha1').update(source).digest('hex'), sha, `${name} is found again by its sha`)
  }
})

test('the Lua scripts have no rule of their own: each number that the memory store keeps to is one of rules.ts', async (t) => {
  const sources = [...Object.values(entries), ...Object.values(fragments)].join('\n')
  const named = new Set([...sources.matchAll(/\bRULES\.(\w+)/g)].map(([, name]) => name!))
  t.same([...named].sort(), Object.keys(rules).sort(), 'every rule is used by a script, and no other is named')
  t.notMatch(sources, /^local (?:MAX_CASCADE|MAX_DUE|MAX_CAPPED_MOVES|MAX_STEPS|MAX_ATTEMPTS|ROUND|MAX_TURN|STRIDE)\b[^\n]*\d/m, 'no literal has come back')
})
