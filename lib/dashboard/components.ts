import { isFinished, type ChartTask } from '../task.ts'
import { between, count, duration, utc, words } from './format.ts'
import { h, type Child, type Element } from './tree.ts'
import type { Viewer } from './viewer.ts'

/** Text from a user or a generator, isolated so that its writing direction does not affect the text around it. */
export const userText = (text: string): Element => h('bdi', {}, text)

/** A time; the script shows it relative to now. */
export const time = (iso: string): Element => h('time', { datetime: iso, 'data-time': 'relative' }, utc(iso))

/** The time since a moment; the script updates it. */
export const elapsed = (since: string): Element => h('time', { datetime: since, 'data-time': 'elapsed' }, `since ${utc(since)}`)

export const link = (href: string, ...children: Child[]): Element => h('a', { href }, ...children)

const LABELS: Readonly<Record<string, string>> = {
  PENDING: 'Waiting',
  PROCESSING: 'Running',
  COMPLETED: 'Completed',
  FAILED: 'Failed',
  CANCELLED: 'Cancelled',
  completed: 'completed',
  failed: 'failed',
  released: 'released',
  expired: 'worker lost',
  cancelled: 'cancelled'
}
export const label = (state: string): string => LABELS[state]!

/** A state as a word, with a colour and a sign beside it. */
export const badge = (state: string): Element => h('span', { class: `badge ${state.toLowerCase()}` }, label(state))

/** A progress bar; `name` is for screen readers. */
export const progress = (value: number, name: string): Element =>
  h('progress', { max: 100, value, 'aria-label': name }, `${value} %`)

export const taskPath = ({ root }: Viewer, task_id: string): string => `${root}tasks/${task_id}`

/** A link to a task, by the first eight characters of its id. */
export const taskLink = (viewer: Viewer, task_id: string): Element =>
  h('a', { href: taskPath(viewer, task_id), class: 'id', title: task_id, 'aria-label': `Task ${task_id}` }, task_id.slice(0, 8))

export const tasksPath = ({ root }: Viewer, filter: object): string => `${root}tasks?${new URLSearchParams(filter as Record<string, string>)}`

/** Progress and step of a running task in one line. */
export const progressLine = ({ progress: value, current_step }: Pick<ChartTask, 'progress' | 'current_step'>): Element =>
  h('span', { class: 'line' }, progress(value, 'Progress'), h('span', { class: 'percent' }, `${value} %`), h('span', { class: 'soft clip' }, userText(words(current_step))))

/** What the list shows of a task beside its status. */
export function stateLine (task: Pick<ChartTask, 'status' | 'current_step' | 'progress' | 'queue_position' | 'error_code' | 'error_message'>): Child {
  if (task.status === 'PROCESSING') return progressLine(task)
  if (task.status === 'FAILED') return h('span', { class: 'line' }, h('code', {}, userText(task.error_code!)), h('span', { class: 'soft clip' }, userText(task.error_message!)))
  if (task.status !== 'PENDING') return null
  return h('span', { class: 'soft' }, userText(words(task.current_step)), task.queue_position !== null && `, number ${count(task.queue_position)}`)
}

/** Time from the first attempt of a task to its end, or to now. */
export function runTime (task: Pick<ChartTask, 'status' | 'started_at' | 'completed_at'>): Child {
  if (task.started_at === null) return '–'
  const ms = between(task.started_at, task.completed_at)
  return isFinished(task) && ms !== null ? duration(ms) : elapsed(task.started_at)
}

export const owner = ({ user_id, org_id }: Pick<ChartTask, 'user_id' | 'org_id'>): Child =>
  [h('span', { class: 'clip' }, userText(user_id)), org_id !== null && h('span', { class: 'soft clip' }, userText(org_id))]

/** A list of names and values; entries without a value are left out. */
export const facts = (entries: ReadonlyArray<readonly [name: string, value: Child]>): Element =>
  h('dl', { class: 'facts' }, ...entries.filter(([, value]) => value !== null && value !== undefined && value !== false)
    .map(([name, value]) => h('div', { 'data-key': name }, h('dt', {}, name), h('dd', {}, value))))

/** A text in place of an empty list. */
export const empty = (title: string, ...text: Child[]): Element =>
  h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), text.length > 0 && h('p', {}, ...text))

/** A button with an action of the script; hidden without JavaScript. */
export const button = (text: string, action: Readonly<Record<string, string>>, variant = ''): Element => {
  const data = Object.fromEntries(Object.entries(action).map(([name, value]) => [`data-${name}`, value]))
  return h('button', { type: 'button', class: `scripted ${variant}`.trim(), ...data }, text)
}

/** A table in a container that scrolls if the table is wider than the page. */
export function table ({ name, head, rows, ...attributes }: { name: string, head: readonly Child[], rows: readonly Element[], [attribute: string]: unknown }): Element {
  return h('div', { class: 'table', role: 'group', 'aria-label': name, tabindex: 0 },
    h('table', attributes as Record<string, string>, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows)))
}

export const column = (name: string, className = ''): Element => h('th', { scope: 'col', class: className || null }, name)
export const cell = (className: string, ...children: Child[]): Element => h('td', { class: className || null }, ...children)
