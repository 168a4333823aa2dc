import type { FailureGroup } from '../../service/monitoring.ts'
import { button, empty, userText, link, taskLink, tasksPath, time } from '../components.ts'
import { count } from '../format.ts'
import { h, type Child, type Element } from '../tree.ts'
import type { Page, Source, Viewer } from '../viewer.ts'
import { RANGES } from './overview.ts'

const EVERY = 5_000
/** The history counts all codes beyond the first 20 of a minute under this one. */
const OTHER = 'other'

export async function failures (viewer: Viewer, { service, read }: Source, query: URLSearchParams): Promise<Page> {
  const asked = Number(query.get('minutes') ?? 1_440)
  const minutes = RANGES.has(asked) ? asked : 1_440
  const { failures } = await read(() => service.getFailures({ minutes }))
  const all = failures.reduce((sum, { count }) => sum + count, 0)
  return {
    title: 'Failures',
    every: EVERY,
    content: [
      h('div', { class: 'head' }, h('h1', {}, 'Failures'),
        h('nav', { class: 'ranges', 'aria-label': 'Time range' }, ...[...RANGES].map(([range, name]) =>
          h('a', { href: `?minutes=${range}`, 'aria-current': range === minutes && 'true' }, name)))),
      ...failures.length === 0
        ? [empty('No chart has failed.', `None in the last ${RANGES.get(minutes)}.`)]
        : [
            h('p', { class: 'soft' }, `${count(all)} ${all === 1 ? 'task has' : 'tasks have'} failed for good in the last ${RANGES.get(minutes)}, the most frequent code first.`),
            h('ul', { class: 'failures' }, ...failures.map(failure => group(viewer, failure, all)))
          ]
    ]
  }
}

function group (viewer: Viewer, { error_code, count: failed, last_failed_at, tasks }: FailureGroup, all: number): Element {
  return h('li', { class: 'card', 'data-key': error_code },
    h('div', { class: 'head' },
      h('h2', {}, h('code', {}, userText(error_code))),
      actions(viewer, error_code)),
    h('p', { class: 'line' },
      h('meter', { min: 0, max: all, value: failed, 'aria-label': 'Share of all failures' }, `${failed}`),
      h('span', {}, h('strong', {}, count(failed)), `, ${Math.round(100 * failed / all)} % of all`),
      h('span', { class: 'soft' }, 'last ', time(last_failed_at))),
    tasks.length > 0 && h('ul', { class: 'latest', 'aria-label': `The latest with ${error_code}` }, ...tasks.map(({ task_id, error_message, completed_at }) =>
      h('li', { 'data-key': task_id }, taskLink(viewer, task_id), h('span', { class: 'text' }, userText(error_message!)), h('span', { class: 'soft' }, completed_at !== null && time(completed_at))))))
}

function actions (viewer: Viewer, error_code: string): Child {
  if (error_code === OTHER) return null
  const filter = { status: 'FAILED', error_code }
  return h('span', { class: 'actions' },
    viewer.may('list') && link(tasksPath(viewer, filter), 'Show tasks'),
    viewer.may('retry') && button('Retry all…', { bulk: 'retry', filter: JSON.stringify(filter) }))
}
