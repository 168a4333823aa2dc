// Compiles the sources, tests included, to dist/, each file once: what runs is plain JavaScript. Types are checked by `npm run check`.
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const FOLDERS = ['lib', 'examples', 'test', 'bench', 'scripts']
/** Of another compiler or other settings, nothing in dist/ is up to date. */
const SETTINGS = ['package-lock.json', 'tsconfig.json', 'scripts/compile.js']

const changedAt = path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
const target = file => join(root, 'dist', file.replace(/\.ts$/, '.js'))

function filesOf (folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    // The queues that are measured beside ours have a package of their own.
    .filter(file => !file.startsWith('bench/peers/') && !file.startsWith('dist/bench/peers/'))
    // The scripts are in the module that is generated from them.
    .filter(file => !file.startsWith('lib/store/redis/lua/'))
    // The dashboard's browser code is in the module that is generated from it.
    .filter(file => !file.startsWith('lib/dashboard/browser/'))
}

/** Compiles what has changed since it was compiled last. Files that are no sources are copied: tests read them beside their own. */
export async function compile () {
  const files = FOLDERS.flatMap(filesOf)
  const settingsChangedAt = Math.max(...SETTINGS.map(file => changedAt(join(root, file))))
  const stale = files.filter(file => changedAt(target(file)) <= Math.max(changedAt(join(root, file)), settingsChangedAt))
  const known = new Set(files.map(target))
  for (const folder of FOLDERS) {
    for (const file of changedAt(join(root, 'dist', folder)) ? filesOf(join('dist', folder)) : []) {
      // A source that is gone must not live on as JavaScript.
      if (!known.has(join(root, file)) && !file.endsWith('.d.ts')) rmSync(join(root, file))
    }
  }
  if (stale.length === 0) return
  const transpile = await createTranspiler()
  for (const file of stale) {
    mkdirSync(dirname(target(file)), { recursive: true })
    const isSource = file.endsWith('.ts') && !file.endsWith('.d.ts')
    writeFileSync(target(file), isSource ? transpile(join(root, file)).code : readFileSync(join(root, file)))
  }
}

/** Loads the compiler. The function that it resolves to turns a TypeScript file into `code`, and a source `map` if asked for. */
export async function createTranspiler ({ sourcemap = false } = {}) {
  const { transformSync } = await import('oxc-transform')
  // As tsconfig.json says: target, verbatimModuleSyntax, rewriteRelativeImportExtensions.
  const options = { target: 'es2023', typescript: { onlyRemoveTypeImports: true, rewriteImportExtensions: 'rewrite' }, sourcemap }
  return path => {
    const { code, map, errors } = transformSync(path, readFileSync(path, 'utf8'), options)
    if (errors.length > 0) throw new SyntaxError(errors.map(error => error.codeframe ?? error.message).join('\n'))
    return { code, map }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await compile()
