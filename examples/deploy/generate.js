import { setTimeout as wait } from 'node:timers/promises'

/** Stands for yours. */
export async function generate (request, { signal, step, progress }) {
  const rows = await step('data_extraction', async () => [3, 7, 5])
  progress({ step: 'rendering', progress: 50 })
  await wait(Number(process.env.RENDER_MS ?? 1_000), undefined, { signal })
  return { bars: rows, asked: request.adjustment_query }
}
