// Runs the tests (all, or those given as arguments) and prints the files of lib with lines, branches or functions that they do not reach.
// Fails if all tests have run and there are any. Node collects the coverage in every process and thread that the tests start; a process that
// is killed reports none. dist/ stays as it is: the source maps that lead from it to the TypeScript are made here, after the run. Lua runs
// within Redis and is not measured.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compile, createTranspiler } from './compile.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const rawFolder = join(root, 'coverage/raw')

/** True for a module of types alone, which is never loaded. */
const isEmpty = output => output.replace(/\/\*[^]*?\*\/|\/\/.*/g, '').replace('export {};', '').trim() === ''

/** Source maps by the URL of the compiled file, as Node writes them beside its coverage; and the compiled files without code. */
async function mapSources () {
  const transpile = await createTranspiler({ sourcemap: true })
  const maps = {}
  const withoutCode = []
  const files = readdirSync(join(root, 'lib'), { recursive: true })
    .filter(file => file.endsWith('.ts') && !file.endsWith('.generated.ts'))
  for (const file of files) {
    const path = join(root, 'lib', file)
    const compiled = join('dist/lib', file.replace(/\.ts$/, '.js'))
    const { code, map } = transpile(path)
    if (isEmpty(code)) withoutCode.push(compiled)
    maps[pathToFileURL(join(root, compiled))] = { data: { ...map, sources: [path] } }
  }
  return { maps, withoutCode }
}

const sources = new Map()

function sourceOf (url) {
  if (!sources.has(url)) sources.set(url, readFileSync(fileURLToPath(url), 'utf8'))
  return sources.get(url)
}

/**
 * Keeps what was measured of lib. V8 also counts ranges without code, such as the brace after an endless loop: they are left out. c8 counts only
 * functions with a name: the others are given one.
 */
function keepLib (file) {
  const path = join(rawFolder, file)
  let measured
  try {
    measured = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // Its process was killed while it wrote.
    return rmSync(path)
  }
  const result = measured.result.filter(({ url }) => url.startsWith(pathToFileURL(join(root, 'dist/lib/')).href))
  for (const { url, functions } of result) {
    const [, ...inner] = functions
    for (const one of inner) one.functionName ||= '(anonymous)'
    for (const { ranges } of functions) {
      const hasCode = ({ startOffset, endOffset }) => !/^[\s;{})\]]*(?:finally\s*)?$/.test(sourceOf(url).slice(startOffset, endOffset))
      ranges.splice(1, Infinity, ...ranges.slice(1).filter(hasCode))
    }
  }
  writeFileSync(path, JSON.stringify({ result }))
}

await compile()
rmSync(join(root, 'coverage'), { recursive: true, force: true })
const named = process.argv.slice(2)
const tests = spawnSync(process.execPath, ['dist/scripts/test.js', ...named], {
  cwd: root, stdio: 'inherit', env: { ...process.env, NODE_V8_COVERAGE: rawFolder }
})
readdirSync(rawFolder).forEach(keepLib)
const { maps, withoutCode } = await mapSources()
writeFileSync(join(rawFolder, 'source-maps.json'), JSON.stringify({ result: [], 'source-map-cache': maps }))
const report = spawnSync('c8', [
  'report', '--temp-directory', rawFolder, '--reports-dir', 'coverage', '--reporter', 'text', '--reporter', 'html', '--skip-full', '--merge-async',
  // Named tests are asked which code they reach themselves.
  ...(named.length === 0 ? ['--100', '--all'] : []),
  '--src', '.', '--include', 'dist/lib/**', ...['**/*.d.ts', '**/*.generated.js', ...withoutCode].flatMap(file => ['--exclude', file])
], { cwd: root, stdio: 'inherit' })
process.exitCode = tests.status || report.status
