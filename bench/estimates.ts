// How far off estimates are, against elapsed time over progress: node --import tsx bench/estimates.ts [seed]
import { simulate } from './simulate-queue.ts'

const seed = Number(process.argv[2] ?? 1)
const seconds = (value: number | null) => value === null ? '–' : value.toFixed(1)

for (const progress of ['steps', 'true', 'hasty'] as const) {
  const { running, waiting, unknown } = await simulate({ seed, tasks: 400, workers: 3, progress })
  console.log(progress)
  console.table({
    running: { looks: running.looks, 'estimate, s off': seconds(running.estimated), 'naive, s off': seconds(running.naive) },
    waiting: { looks: waiting.looks, 'estimate, s off': seconds(waiting.estimated), 'naive, s off': seconds(waiting.naive) }
  })
  console.log(`no estimate in ${(100 * unknown).toFixed(1)} % of all looks`)
}
