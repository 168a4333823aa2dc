import type { WorkerEntry } from '../../store/task-store.ts'
import { cell, column, elapsed, empty, userText, progressLine, table, taskLink, time } from '../components.ts'
import { count } from '../format.ts'
import { h, type Element } from '../tree.ts'
import type { Page, Source, Viewer } from '../viewer.ts'

const EVERY = 2_000

export async function workers (viewer: Viewer, { service, read }: Source): Promise<Page> {
  const { workers, complete } = await read(() => service.getWorkers())
  const slots = workers.reduce((sum, { concurrency }) => sum + concurrency, 0)
  const used = workers.reduce((sum, { running_count }) => sum + running_count, 0)
  const hosts = new Set(workers.map(({ host }) => host)).size
  return {
    title: 'Workers',
    every: EVERY,
    content: [
      h('div', { class: 'head' }, h('h1', {}, 'Workers')),
      ...workers.length === 0
        ? [empty('No worker is there.', 'Tasks wait until one starts. A worker is shown from its start until it has stopped, or until a lease after it has died.')]
        : [
            h('p', { class: 'soft' }, `${plural(workers.length, 'worker')} on ${plural(hosts, 'host')}, ${count(used)} of ${plural(slots, 'slot')} in use${!complete ? '. There are more than this page shows.' : ''}`),
            h('ul', { class: 'workers' }, ...workers.map(worker => card(viewer, worker)))
          ]
    ]
  }
}

const plural = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`

function card (viewer: Viewer, worker: WorkerEntry): Element {
  const { worker_id, host, pid, version, concurrency, state, started_at, last_seen_at, running, running_count } = worker
  return h('li', { class: 'card', 'data-key': worker_id, 'aria-label': `Worker ${pid} on ${host}` },
    h('div', { class: 'head' },
      h('h2', {}, h('span', { class: 'clip' }, userText(host)), h('span', { class: 'soft' }, ` pid ${pid}`)),
      h('span', { class: `badge ${state === 'running' ? 'processing' : 'cancelled'}` }, state === 'running' ? 'Running' : 'Draining')),
    h('p', { class: 'line' },
      h('meter', { min: 0, max: concurrency, value: Math.min(running_count, concurrency), 'aria-label': 'Slots in use' }, `${running_count}`),
      h('span', {}, `${count(running_count)} of ${plural(concurrency, 'slot')}`)),
    h('p', { class: 'soft small' }, 'version ', version, ' · started ', time(started_at), ' · seen ', time(last_seen_at), ' · ', h('span', { class: 'id', title: worker_id }, worker_id.slice(0, 8))),
    running.length === 0
      ? h('p', { class: 'soft' }, 'Waits for a task.')
      : table({
        name: `What worker ${pid} on ${host} runs`,
        head: [column('Task'), column('Progress'), column('Attempt', 'wide number'), column('Running', 'number')],
        rows: running.map(attempt => h('tr', { 'data-key': attempt.task_id },
          cell('', taskLink(viewer, attempt.task_id)),
          cell('', progressLine(attempt)),
          cell('wide number', attempt.attempt),
          cell('number', elapsed(attempt.started_at))))
      }),
    running_count > running.length && h('p', { class: 'soft' }, `and ${count(running_count - running.length)} more`))
}
