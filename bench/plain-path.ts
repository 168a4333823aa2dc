// What a task costs on the plain path (no dependencies, no batches) in this build and in another. Both are measured in turn, and the
// ratios are of neighbours in time: what else the machine does concerns both.
import { fork, type ChildProcess } from 'node:child_process'
import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Figure } from './build-process.ts'
import type { StartRedis } from './redis-starter.ts'
import { median, ratios } from './statistics.ts'
import { textTable } from './tables.ts'
import { UsageError } from './usage-error.ts'

const HERE = fileURLToPath(new URL('../lib/index.js', import.meta.url))
const PROCESS = new URL('build-process.js', import.meta.url)

/** The values of one figure, in the order of the turns. */
interface Row {
  readonly name: string
  readonly unit: string
  readonly here: number[]
  readonly other: number[]
}

/** @param against its dist/lib/index.js */
export async function compareBuilds (against: string, rounds: number, start: StartRedis): Promise<void> {
  const builds = [HERE, resolve(against)]
  for (const path of builds) await access(path).catch(() => { throw new UsageError(`No build at ${path}: npm run build makes it`) })
  const redis = await start()
  try {
    print(await measure(builds, rounds, redis.url))
  } finally {
    await redis.stop()
  }
}

async function measure (paths: readonly string[], rounds: number, url: string): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (let round = 1; round <= rounds; round++) {
    // New processes each time: of two equal ones, one may be some percent faster for as long as it lives.
    const children = paths.map(path => fork(PROCESS, [url, path], { execArgv: ['--expose-gc'] }))
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
  const ratio = (value: number) => value.toFixed(3)
  const table = rows.map(({ name, unit, here, other }) => {
    const compared = ratios(here, other)
    return [name, unit, number(median(here)), number(median(other)), ratio(median(compared)), around(compared, ratio)]
  })
  console.log(textTable({ head: ['', '', 'this build', 'other build', 'this/other', '95 % sure'], rows: table }))
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
