import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { test } from 'tap'
import { scripts } from '../../lib/store/redis/scripts.ts'
import { root } from '../helpers/root.ts'

test('lua.generated.ts is what the .lua files say', async (t) => {
  const generator = new URL('scripts/generate-lua.js', root).pathname
  await t.resolves(promisify(execFile)(process.execPath, [generator, '--check']))
})

test('every script stands alone and goes by its own sha', async (t) => {
  for (const [name, { sha, source }] of Object.entries(scripts)) {
    t.match(source, /^#!lua\b/, `${name} says which engine it is for, so that Redis checks its flags`)
    t.notMatch(source, /@include/, `${name} includes nothing any more`)
    t.equal(createHash('sha1').update(source).digest('hex'), sha, `${name} is found again by its sha`)
  }
})
