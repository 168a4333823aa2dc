import { readFileSync } from 'node:fs'
import t from 'tap'
import { errors, failures } from '../../lib/errors.ts'
import { root } from '../helpers/root.ts'

const page = readFileSync(new URL('docs/reference/errors.md', root), 'utf8')

/** The rows of the page whose first cell is a code of ours: the code, and the cell behind it. */
const rows = [...page.matchAll(/^\| `(CHARTS_ERR_\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(([, code, second, when, action]) => ({
  code: code!, second: second!.trim(), when: when!.trim(), action: action!.trim()
}))
const [answered, failed] = [rows.filter(row => /^\d+$/.test(row.second)), rows.filter(row => !/^\d+$/.test(row.second))]

t.test('the page has every error that is answered or thrown, with its status, and no other', async t => {
  const table = Object.entries(errors).map(([code, Class]) => [code, new (Class as new () => { statusCode: number })().statusCode])
  t.same(Object.fromEntries(answered.map(({ code, second }) => [code, Number(second)])), Object.fromEntries(table))
  t.equal(answered.length, table.length, 'each once')
})

t.test('the page has every error_code of a failed task, with what the user is told, and no other', async t => {
  t.same(Object.fromEntries(failed.map(({ code, second }) => [code, second])), failures)
  t.equal(failed.length, Object.keys(failures).length, 'each once')
})

t.test('every code goes by its own name, and says when it comes and what to do', async t => {
  for (const [code, Class] of Object.entries(errors)) t.equal(new (Class as new () => { code: string })().code, code)
  for (const { code, when, action } of rows) t.ok(when.length > 10 && action.length > 5, code)
})

t.test('other pages name only codes that exist', async t => {
  for (const file of ['guides/getting-started', 'reference/http-api', 'reference/options', 'reference/task-lifecycle', 'reference/redis-keys', 'internals']) {
    const text = readFileSync(new URL(`docs/${file}.md`, root), 'utf8')
    for (const [code] of text.matchAll(/CHARTS_ERR_[A-Z_]+/g)) t.ok(code in errors || code in failures, `${file} names ${code}`)
  }
})
