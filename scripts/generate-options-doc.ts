// Writes the tables of docs/reference/options.md from the schemas that options are checked against and the docstrings of their interfaces,
// and the rule for a Redis user in redis-keys.md from the scripts, so that they cannot disagree.
import { readFileSync, writeFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import { neededCommands } from '../lib/store/redis/access.ts'
import { readOptionTables, type OptionTable } from './option-tables.ts'

const root = new URL('./', import.meta.resolve('fastify-async-charts/package.json'))
const docs = new URL('docs/', root)
const target = new URL('reference/options.md', docs)
const tables = readOptionTables(root)

/** Groups that more than one table names: each has a table of its own. */
const groups = new Set(['retention', 'retry', 'limits', 'worker', 'stream'])
/** Where the documents say more of an option. */
const links: Readonly<Record<string, string>> = {
  telemetry: '[telemetry](telemetry.md)',
  routes: '[what you may change of the routes](http-api.md#what-you-may-change-of-the-routes)'
}

const code = (text: string) => `\`${text}\``
const cell = (text: string) => text.replaceAll('|', '\\|')
const number = (value: number) => value.toLocaleString('en')

function typeOf (schema: TSchema): string {
  if (schema['isFunction']) return 'function'
  if (schema['isGenerator']) return 'function or `URL`'
  if (schema['isUrl']) return '`URL`'
  if (schema['hasMethods']) return 'object'
  if (schema['enum']) return schema['enum'].map((value: string) => code(`'${value}'`)).join(' or ')
  if (schema['const'] !== undefined) return code(String(schema['const']))
  if (schema['anyOf']) return schema['anyOf'].map(typeOf).join(' or ')
  if (schema['type'] === 'array') return `array of ${typeOf(schema['items'])}s`
  return schema['type']
}

function ruleOf (schema: TSchema): string {
  const { minimum, maximum, minLength, maxLength, pattern, hasMethods } = schema
  const rules = []
  if (minimum !== undefined) rules.push(maximum === undefined ? `at least ${number(minimum)}` : `${number(minimum)} to ${number(maximum)}`)
  if (maxLength !== undefined) rules.push(`${minLength ?? 0} to ${maxLength} characters`)
  if (pattern !== undefined) rules.push(`matches ${code(pattern)}`)
  if (hasMethods) rules.push(`has ${hasMethods.map(code).join(', ')}`)
  return rules.join('; ')
}

function defaultOf (schema: TSchema): string {
  const { default: value } = schema
  if (value === undefined) return '–'
  if (typeof value === 'string') return code(`'${value}'`)
  return code(typeof value === 'number' ? number(value).replaceAll(',', '_') : String(value))
}

function rowsOf ({ schema, fields }: OptionTable, path: string): string[] {
  return Object.entries<TSchema>(schema['properties']).flatMap(([name, option]) => {
    const at = path + name
    const isGroup = path === '' && groups.has(name)
    if (!isGroup && option['properties']) return rowsOf(tables.get(name)!, `${at}.`)
    const { text } = fields.get(name)!
    const link = path === '' ? isGroup ? `[\`${name}\`](#${name})` : links[name] : undefined
    const cells = [code(at), typeOf(option), isGroup ? '–' : defaultOf(option), ruleOf(option), link ? `${text} See ${link}.` : text]
    return `| ${cells.map(cell).join(' | ')} |`
  })
}

function tableOf (name: string): string {
  const path = groups.has(name) ? `${name}.` : ''
  return ['| option | type | default | rule | |', '|---|---|---|---|---|', ...rowsOf(tables.get(name)!, path)].join('\n')
}

const page = readFileSync(target, 'utf8')
const left = new Set(tables.keys())
// It stands in the table of `retry`.
left.delete('backoff')
const generated = page.replace(/(<!-- generated: ([\w-]+) -->)[^]*?(<!-- end -->)/g, (_, begin, name, end) => {
  if (!left.delete(name)) throw new Error(`docs/reference/options.md has no use for a table ${name}`)
  return `${begin}\n${tableOf(name)}\n${end}`
})
if (left.size > 0) throw new Error(`docs/reference/options.md has no place for ${[...left].join(', ')}`)

// A Redis user needs what the scripts call, and they change.
const keysTarget = new URL('reference/redis-keys.md', docs)
const keysPage = readFileSync(keysTarget, 'utf8')
const commands = neededCommands().map(command => `+${command}`).join(' ')
const keysGenerated = keysPage.replace(/^(ACL SETUSER charts .* \+client\|setname) .*$/m, (_, before) => `${before} ${commands}`)
const aclTarget = new URL('../examples/deploy/users.acl', docs)
const acl = readFileSync(aclTarget, 'utf8')
const aclGenerated = acl.replace(/^(user charts .* \+client\|setname) .*$/m, (_, before) => `${before} ${commands}`)

if (!process.argv.includes('--check')) {
  writeFileSync(target, generated)
  writeFileSync(keysTarget, keysGenerated)
  writeFileSync(aclTarget, aclGenerated)
} else if (generated !== page || keysGenerated !== keysPage || aclGenerated !== acl) {
  console.error('docs/reference/options.md, redis-keys.md or examples/deploy/users.acl is stale: npm run docs')
  process.exitCode = 1
}
