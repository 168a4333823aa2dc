// Writes the Lua files into a TypeScript module: reading .lua files at run time breaks under bundlers.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const lua = new URL('../lib/store/redis/lua/', import.meta.url)
const target = new URL('../lib/store/redis/lua.generated.ts', import.meta.url)

/** The lines that are run, and the includes. */
const linesOf = path => readFileSync(new URL(path, lua), 'utf8').split('\n').filter(line => !/^\s*(--(?!- @include)|$)/.test(line)).join('\n')

const namesIn = folder => readdirSync(new URL(folder, lua)).filter(file => file.endsWith('.lua')).map(file => file.slice(0, -'.lua'.length)).sort()
const inCamelCase = name => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())

/** As the source of an object: the files of a folder, each by its name. */
const filesOf = (folder, nameOf) => namesIn(folder).map(name =>
  `  '${nameOf(name)}': \`${linesOf(`${folder}${name}.lua`).replace(/[\\`]|\$\{/g, '\\$&')}\``).join(',\n')

const generated = `// Generated from lua/*.lua by scripts/generate-lua.js (npm run lua): change those, not this.

/** What a script does by itself. */
export const entries: Readonly<Record<${namesIn('').map(name => `'${inCamelCase(name)}'`).join(' | ')}, string>> = {
${filesOf('', inCamelCase)}
}

/** What scripts include, by its name. */
export const fragments: Readonly<Record<string, string>> = {
${filesOf('shared/', name => name)}
}
`

if (!process.argv.includes('--check')) {
  writeFileSync(target, generated)
} else if (readFileSync(target, 'utf8') !== generated) {
  console.error('lib/store/redis/lua.generated.ts is stale: npm run lua')
  process.exitCode = 1
}
