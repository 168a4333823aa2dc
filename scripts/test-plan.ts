// Which test files run in which process, and in which order.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from '../test/helpers/root.ts'

/** What tests that are not quick use: a server, a browser, a process, clients that are generated. */
const NOT_QUICK = /helpers\/(?:chromium|guide|postgres|protocols|redis|type-faults|worker-process)\.js|bench\/|e2e\/|examples-generator|"npm"/
/** Tests that take more than five seconds: they wait for timers, or start threads. */
const SLOW = new Set(['calls', 'chart-store', 'costly-bodies', 'drain', 'faults', 'group-feed', 'group-stream', 'history', 'large-answers', 'lease', 'leases', 'prefer', 'slow-readers', 'stream-clients', 'threads', 'threads-parity', 'timeout'])
/** Tests that measure or change their process, compute for long, or set a time limit for their file. */
const ALONE = /^types\/|\/(?:bundle|costly-bodies|estimates-simulation|examples-generator|group-stream|large-answers|look|openapi-tools|plain-path|protocols|redis-host|redis-scripts|side-by-side|slow-readers|soak|tenant-bytes|threads)/
/** Files that take longest, the longest first: one that starts late would run when the others are done. */
const LONG = ['e2e/page-stream', 'types/compilers', 'faults/redis-damage', '../groups/e2e-1', '../groups/e2e-2', 'http/large-answers-heap', 'unit/bundle', 'store/redis-scripts', 'dashboard/look', 'dashboard/live', '../groups/http-1', '../groups/client-1']
/** What is told apart by its timing comes late: the compilers and the linter are done by then. Last come those that are short. */
const ORDER = ['unit', 'store', 'types', 'docs', 'worker', 'http', 'client', 'faults', 'dashboard', 'telemetry', 'properties', 'e2e']
const QUICK_GROUPS = 4
const MAX_GROUP_SIZE = 5

const tests = fileURLToPath(new URL('dist/test/', root))
/** Outside of the folders from which the compiler removes what has no source: the checks compile while tests run. */
const groups = fileURLToPath(new URL('dist/groups/', root))

function allFiles (): string[] {
  return readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.js'))
    .sort()
}

const isQuick = (file: string) => !SLOW.has(basename(file, '.test.js')) && !NOT_QUICK.test(join(tests, file) + readFileSync(join(tests, file), 'utf8'))

/** Splits files into `count` files that run them: to start a process for each takes longer than most tests. */
function grouped (name: string, files: readonly string[], count: number): string[] {
  mkdirSync(groups, { recursive: true })
  return Array.from({ length: count }, (_, group) => {
    const file = `../groups/${name}-${group + 1}.test.js`
    writeFileSync(join(tests, file), files.filter((_, i) => i % count === group).map(file => `import '../test/${file}'\n`).join(''))
    return file
  })
}

/** Groups of files of the same folder. */
function groupedByFolder (files: readonly string[]): string[] {
  const folders = new Set(files.map(file => dirname(file)))
  return [...folders].flatMap(folder => {
    const inside = files.filter(file => dirname(file) === folder)
    return grouped(folder, inside, Math.ceil(inside.length / MAX_GROUP_SIZE))
  })
}

/** Places before all others are negative. */
function placeOf (file: string): number {
  const long = LONG.indexOf(file.replace('.test.js', ''))
  return long >= 0 ? long - LONG.length : ORDER.indexOf(file.replace('../groups/', '').split(/\/|-\d/)[0]!)
}

/** The paths of the files to run, all or the quick ones, in order. Some are written here, and run others. */
export function planAll (isQuickRun: boolean): string[] {
  const files = allFiles()
  const quick = grouped('quick', files.filter(isQuick), QUICK_GROUPS)
  const others = files.filter(file => !isQuick(file))
  const alone = (file: string) => ALONE.test(file) || LONG.includes(file.replace('.test.js', ''))
  const rest = [...others.filter(alone), ...groupedByFolder(others.filter(file => !alone(file)))]
    .sort((a, b) => placeOf(a) - placeOf(b))
  const long = rest.filter(file => placeOf(file) < 0)
  return (isQuickRun ? quick : [...long, ...quick, ...rest.slice(long.length)]).map(file => join(tests, file))
}

/** The compiled files of sources that were named from where npm was called. */
export function planNamed (files: readonly string[]): string[] {
  return files.map(file => {
    const path = relative(fileURLToPath(root), resolve(process.env['INIT_CWD'] ?? '.', file))
    return fileURLToPath(new URL(`dist/${path.replace(/\.ts$/, '.js')}`, root))
  })
}
