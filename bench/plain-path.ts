// What a task costs on the plain path (no dependencies, no batches). With `--against <dist/lib/index.js of another build>`,
// both are measured in turn, and the ratios are of neighbours in time: what the machine does besides concerns both alike.
import { fork, type ChildProcess } from 'node:child_process'
import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startRedis } from '../test/helpers/redis.ts'
import type { Figure } from './build-process.ts'

const HERE = fileURLToPath(new URL('../lib/index.js', import.meta.url))
const PROCESS = new URL('build-process.js', import.meta.url)

/** The values of one figure, in the order of the turns. */
interface Row {
  readonly name: string
  readonly unit: string
  readonly here: number[]
  readonly other: number[]
}

const { values: { against, rounds: given } } = parseArgs({
  options: { against: { type: 'string' }, rounds: { type: 'string', default: '5' } }
})
const rounds = Number(given)
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds must be a whole number from 1, got ${given}`)

const builds = against === undefined ? [HERE] : [HERE, resolve(against)]
for (const path of builds) await access(path).catch(() => { throw new Error(`No build at ${path}: npm run build makes it`) })
const redis = await startRedis({ config: ['--appendonly', 'no'] })
try {
  print(await measure(builds))
} finally {
  await redis.stop()
}

async function measure (paths: readonly string[]): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (let round = 1; round <= rounds; round++) {
    // New ones each time: of two processes alike, one may be some percent faster for as long as it lives.
    const children = paths.map(path => fork(PROCESS, [redis.url, path], { execArgv: ['--expose-gc'] }))
    const [scenes] = await Promise.all(children.map(child => answerOf<number[]>(child)))
    for (const [scene, turns] of scenes!.entries()) {
      for (let turn = 0; turn <= turns; turn++) {
        // Who goes second finds another machine than who went first: they change places.
        for (const child of (round + turn) % 2 === 0 ? children : children.toReversed()) {
          const figures = await perform(child, scene)
          // The first turn is for the compiler to warm up.
          if (turn > 0) note(rows, figures, child === children[0] ? 'here' : 'other')
        }
      }
    }
    for (const child of children) child.disconnect()
    process.stderr.write(`${round}/${rounds} `)
  }
  process.stderr.write('\n')
  return [...rows.values()]
}

function perform (child: ChildProcess, scene: number): Promise<Figure[]> {
  child.send(scene)
  return answerOf(child)
}

function answerOf<T> (child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const broke = () => reject(new Error(`${child.spawnargs.at(-1)} broke while it was measured`))
    child.once('exit', broke)
    child.once('message', answer => {
      child.off('exit', broke)
      resolve(answer as T)
    })
  })
}

function note (rows: Map<string, Row>, figures: readonly Figure[], side: 'here' | 'other'): void {
  for (const { name, unit, value } of figures) {
    const key = `${name} ${unit}`
    if (!rows.has(key)) rows.set(key, { name, unit, here: [], other: [] })
    rows.get(key)![side].push(value)
  }
}

function print (rows: readonly Row[]): void {
  const compared = builds.length > 1
  const ratio = (value: number) => value.toFixed(3)
  const table = rows.map(({ name, unit, here, other }) => {
    if (!compared) return [name, unit, number(median(here)), around(here, number)]
    const ratios = here.map((value, i) => value / other[i]!)
    return [name, unit, number(median(here)), number(median(other)), ratio(median(ratios)), around(ratios, ratio)]
  })
  const head = ['', '', 'this build', ...compared ? ['other build', 'this/other'] : [], '95 % sure']
  const widths = head.map((_, column) => Math.max(...[head, ...table].map(line => line[column]!.length)))
  for (const line of [head, ...table]) {
    console.log(line.map((text, column) => column < 2 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)).join('  '))
  }
}

function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Where the median is in 95 of 100 cases, whatever the distribution: so many ranks to either side of the middle. */
function around (values: readonly number[], show: (value: number) => string): string {
  const sorted = values.toSorted((a, b) => a - b)
  const ranks = Math.min(sorted.length / 2, 0.98 * Math.sqrt(sorted.length))
  const low = Math.floor(sorted.length / 2 - ranks)
  return `${show(sorted[low]!)}–${show(sorted.at(-1 - low)!)}`
}

function number (value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
}
