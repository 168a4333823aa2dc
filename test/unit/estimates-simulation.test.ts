import t from 'tap'
import { simulate } from '../../bench/simulate-queue.ts'
import { readPage } from '../helpers/markdown.ts'

const page = readPage('docs/guides/estimates.md')
const rows = {
  steps: 'when a step begins',
  true: 'every second, as it is',
  hasty: 'every second, fast at first and slow at last'
} as const
const shown = (value: number) => value.toFixed(1)

for (const [progress, row] of Object.entries(rows) as Array<[keyof typeof rows, string]>) {
  t.test(`the guide has the figures of the simulation: progress ${row}`, { timeout: 300_000 }, async t => {
    const { running, waiting, unknown } = await simulate({ seed: 1, tasks: 400, workers: 3, progress })
    t.ok(page.includes(`| ${row} | ${shown(running.estimated)} | ${shown(running.naive!)} |`), `${shown(running.estimated)} | ${shown(running.naive!)}`)
    t.ok(running.estimated < running.naive!, 'an estimate is nearer than what elapsed time over progress gives')
    t.match(page.replaceAll('\n', ' '), `its estimate was ${shown(waiting.estimated)} seconds off`)
    t.match(page.replaceAll('\n', ' '), `In ${shown(100 * unknown)} % of all answers there was no estimate`)
  })
}

t.test('another seed gives other charts, and the same verdict', { timeout: 300_000 }, async t => {
  const options = { seed: 7, tasks: 150, workers: 2, progress: 'steps' } as const
  const first = await simulate(options)
  t.strictSame(await simulate(options), first, 'the same seed, the same numbers')
  t.ok(first.running.estimated < first.running.naive! / 2)
})
