import type { TSchema } from '@sinclair/typebox'
import { test } from 'tap'
import { renames } from '../../lib/options/old-names.ts'
import { readOptionTables } from '../../scripts/option-tables.ts'
import { root } from '../helpers/root.ts'

const tables = readOptionTables(root)

test('every option that is checked is declared, and the reverse', async t => {
  for (const [name, { schema, fields }] of tables) {
    const declared = [...fields].filter(([, { deprecated }]) => !deprecated).map(([field]) => field)
    t.same(declared.sort(), Object.keys(schema['properties']).sort(), name)
  }
})

test('every field says what it means, and the default that it has', async t => {
  for (const [name, { schema, fields }] of tables) {
    for (const [field, { text, fallback, deprecated }] of fields) {
      t.match(text, /^\S.+\.$/, `${name}.${field} has a docstring`)
      if (deprecated) continue
      const option: TSchema = schema['properties'][field]
      const isGroup = option['properties'] !== undefined
      t.equal(fallback, option.default === undefined || isGroup ? undefined : JSON.stringify(option.default).replaceAll('"', "'"), `${name}.${field}: @default`)
      if (option['minimum'] === 0 && option['maximum'] === undefined && name !== 'backoff') t.match(text, /\b0: no limit\.$/, `${name}.${field}: what 0 means`)
    }
  }
})

test('every old name is declared as such, beside its new one', async t => {
  const owners: Readonly<Record<string, string>> = { '': 'service' }
  const declared = new Map([...tables].map(([name, { fields }]) => [name, [...fields].filter(([, { deprecated }]) => deprecated).map(([field]) => field)]))
  for (const { group, from, to, code } of renames) {
    const name = owners[group] ?? group
    const { fields } = tables.get(name)!
    t.ok(declared.get(name)!.includes(from), `${name}.${from}`)
    t.ok(fields.get(from)!.text.includes(`\`${to}\``) && fields.get(from)!.text.includes(`\`${code}\``), `${name}.${from} names ${to} and ${code}`)
    t.ok(fields.has(to), `${name}.${to}`)
  }
  t.equal([...declared.values()].flat().length, renames.length)
})
