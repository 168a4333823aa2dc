// Writes the Lua scripts into a TypeScript module: reading .lua files at run time breaks under bundlers.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const lua = new URL('../lib/store/redis/lua/', import.meta.url)
const target = new URL('../lib/store/redis/lua.generated.ts', import.meta.url)

function expand (path, included) {
  return readFileSync(new URL(path, lua), 'utf8').split('\n').flatMap(line => {
    const name = /^\s*--- @include "([\w-]+)"\s*$/.exec(line)?.[1]
    if (name === undefined) return /^\s*(--|$)/.test(line) ? [] : [line]
    if (included.has(name)) return []
    included.add(name)
    return expand(`shared/${name}.lua`, included)
  })
}

const names = []
const entries = readdirSync(lua).filter(file => file.endsWith('.lua')).sort().map(file => {
  const source = expand(file, new Set()).join('\n')
  const name = file.slice(0, -'.lua'.length).replace(/-(\w)/g, (_, letter) => letter.toUpperCase())
  names.push(name)
  const sha = createHash('sha1').update(source).digest('hex')
  return `  ${name}: {\n    sha: '${sha}',\n    source: \`${source.replace(/[\\`]|\$\{/g, '\\$&')}\`\n  }`
})

const generated = `// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.

export type ScriptName = ${names.map(name => `'${name}'`).join(' | ')}

// Typed, lest the declarations of the package repeat every source.
export const scripts: Readonly<Record<ScriptName, { readonly sha: string, readonly source: string }>> = {
${entries.join(',\n')}
}
`

if (!process.argv.includes('--check')) {
  writeFileSync(target, generated)
} else if (readFileSync(target, 'utf8') !== generated) {
  console.error('lib/store/redis/lua.generated.ts is stale: npm run lua')
  process.exitCode = 1
}
