import type { Logger } from '../../generator.ts'
import type { StoredTask } from '../../task.ts'
import { readCursor, toCursor, type ListPosition } from '../list-cursor.ts'
import type { ListQuery, QueueSnapshot, QueueStats, TaskPage } from '../task-store.ts'
import type { ScriptRunner } from './script-runner.ts'
import { toSteps } from './task-details.ts'
import { toTasks, type Found } from './task-reader.ts'
import { fromWord, toWord } from './words.ts'

/** Finished tasks that one script removes: Redis serves nobody else meanwhile. */
const CLEANUP_PAGE = 100
/** Parts of the repair of indexes and counts that one clean-up does: usually, and if something was found to be wrong. */
const MEND_PARTS = { usual: 40, max: 2_000 }

export async function listTasks (runner: ScriptRunner, { filter, limit, cursor }: ListQuery): Promise<TaskPage<StoredTask>> {
  const { index, score, task_id } = cursor === null ? { index: '', score: '', task_id: '' } : readCursor(cursor)
  const [records, reached] = await runner.run<[Found[], [index: ListPosition['index'], score: string, task_id: string] | null]>('list', [
    filter.status ?? '', toWord(filter.user_id ?? ''), toWord(filter.tenant ?? ''), limit, index, score, task_id,
    filter.error_code ?? '', filter.created_after ?? '', filter.created_before ?? '', filter.unfinished ? 1 : 0
  ])
  return { tasks: toTasks(records), cursor: reached && toCursor({ index: reached[0], score: reached[1], task_id: reached[2] }) }
}

export async function readStats (runner: ScriptRunner): Promise<QueueStats> {
  const [queue_length, processing_count, delayed_count, oldest, now, paused] =
    await runner.run<[number, number, number, string | null, string, number]>('stats', [])
  return {
    queue_length,
    processing_count,
    delayed_count,
    oldest_waiting_at: oldest && new Date(Number(oldest)).toISOString(),
    paused: paused === 1,
    updated_at: new Date(Number(now)).toISOString()
  }
}

export async function readSnapshot (runner: ScriptRunner): Promise<QueueSnapshot> {
  type Reply = [string, number, string | null, number, Array<[step: string, at: string]>, Array<[trace: string, at: string]>]
  const [now, paused, since, processing_count, running, completed] = await runner.run<Reply>('snapshot', [])
  return {
    now: Number(now),
    paused: paused === 1,
    waiting_since: since === null ? null : Number(since),
    processing_count,
    running: running.map(([step, at]) => ({ step: fromWord(step), at: Number(at) })),
    completed: completed.map(([trace, at]) => ({ steps: toSteps(trace), at: Number(at) }))
  }
}

/** Removes what has expired, and repairs indexes and counts. */
export class Cleanup {
  readonly #runner: ScriptRunner
  readonly #logger: Logger | undefined
  /** Where the next repair begins; '': at the start. */
  #mendCursor = ''

  constructor (runner: ScriptRunner, logger: Logger | undefined) {
    this.#runner = runner
    this.#logger = logger
  }

  /** Returns the number of tasks that were removed. */
  async run (): Promise<number> {
    let removed = 0
    let last
    do {
      last = await this.#runner.run<number>('cleanup', [CLEANUP_PAGE])
      removed += last
    } while (last === CLEANUP_PAGE)
    await this.#mend()
    return removed
  }

  async #mend (): Promise<void> {
    let mended = 0
    for (let parts = 0, max = MEND_PARTS.usual; parts < max; parts++) {
      const [cursor, more, wrong] = await this.#runner.run<[cursor: string, mended: number, wrong: number]>('mend', [this.#mendCursor])
      this.#mendCursor = cursor
      mended += more
      if (wrong === 1) max = MEND_PARTS.max
      if (cursor === '') break
    }
    if (mended > 0) this.#logger?.warn({ mended }, 'Redis had lost entries of indexes or counts, or they were unreadable: they have been rebuilt')
  }
}
