// Bulk actions: on the selected tasks, and on all that match a filter.

import { closeDialog, makeButton, note, openDialog } from './dialog.js'
import { Refusal, get, post } from './server.js'
import { build } from './tree.js'

/** Tasks after which counting stops: the confirmation then says "more than". */
const MAX_COUNTED = 10_000
/** ms until the next attempt while the server is away (doubled each time), at most, and attempts before the user is asked. */
const RETRY = 1_000
const MAX_RETRY = 10_000
const MAX_ATTEMPTS = 5

const WORDS = {
  retry: { verb: 'Retry', done: 'retried', variant: 'primary', fits: status => status === 'FAILED' },
  cancel: { verb: 'Cancel', done: 'cancelled', variant: 'danger', fits: status => status === 'PENDING' || status === 'PROCESSING' }
}

const number = value => value.toLocaleString('en-US')
const tasks = value => `${number(value)} ${value === 1 ? 'task' : 'tasks'}`

/** The checked boxes of the task list; with an action, those whose status allows it. */
export const selected = action => [...document.querySelectorAll('input[name="task"]:checked')]
  .filter(box => !action || WORDS[action].fits(box.closest('tr').dataset.status))

export function showSelection () {
  const count = selected().length
  const line = document.querySelector('.bulk .selected')
  if (!line) return
  line.textContent = count === 0 ? 'None selected' : `${number(count)} selected`
  for (const button of document.querySelectorAll('[data-selected]')) {
    const { verb } = WORDS[button.dataset.selected]
    const fitting = selected(button.dataset.selected).length
    button.textContent = fitting === 0 ? verb : `${verb} ${number(fitting)}`
    button.ariaDisabled = String(fitting === 0)
  }
  const all = document.getElementById('select-all')
  if (!all) return
  const boxes = document.querySelectorAll('input[name="task"]')
  all.checked = count > 0 && count === boxes.length
  all.indeterminate = count > 0 && count < boxes.length
}

export function selectAll (isChecked) {
  for (const box of document.querySelectorAll('input[name="task"]')) box.checked = isChecked
  showSelection()
}

/** Counts the matching tasks page by page; `says` gets each interim count. */
async function countMatching (action, filter, says, signal) {
  let count = 0
  let cursor = ''
  do {
    const page = await get(`tasks/count?${new URLSearchParams({ ...filter, action, cursor })}`, signal)
    count += page.count
    cursor = page.cursor
    says(count)
  } while (cursor !== null && count < MAX_COUNTED)
  return { count, isAll: cursor === null }
}

/** Asks for a confirmation, runs the action in parts, and shows the progress. Resolves when the dialog is closed. */
export async function act (action, filter, known) {
  const { verb, done, variant } = WORDS[action]
  const leaving = new AbortController()
  const text = build(['p', { role: 'status' }, ''])
  const meter = build(['progress', { 'aria-label': 'Progress' }])
  const skipped = build(['ul', { class: 'skipped' }])
  const row = build(['div', { class: 'buttons' }])
  let running = null
  meter.hidden = skipped.hidden = true
  const close = closing => makeButton(closing, '', closeDialog)
  const closed = openDialog(`${verb} tasks`, [text, meter, skipped, row]).then(() => leaving.abort())

  async function prepare () {
    row.replaceChildren(close('Back'))
    row.firstChild.focus()
    text.textContent = 'Counting…'
    const { count, isAll } = known === undefined
      ? await countMatching(action, filter, count => { text.textContent = `Counting… ${number(count)}` }, leaving.signal)
      : { count: known, isAll: true }
    if (count === 0) {
      text.textContent = action === 'retry' ? 'No failed task matches.' : 'No task that waits or runs matches.'
      return
    }
    const told = isAll ? tasks(count) : `more than ${tasks(count)}`
    const consequence = action === 'retry' ? 'Each is generated again as a new task, for its owner.' : 'This is final: their owners see them as cancelled.'
    text.textContent = `${verb} ${told}? ${consequence}`
    row.append(makeButton(`${verb} ${isAll ? tasks(count) : 'all that match'}`, variant, () => attempt(() => run(isAll ? count : null))))
  }

  async function run (total) {
    const state = running = { matched: 0, done: 0, cursor: undefined, skipped: [] }
    meter.hidden = false
    if (total !== null) meter.max = total
    row.replaceChildren(close('Stop'))
    row.firstChild.focus()
    await go(state, total)
  }

  async function go (state, total) {
    for (let attempts = 0; state.cursor !== null;) {
      const word = done[0].toUpperCase() + done.slice(1)
      text.textContent = `${word} ${number(state.done)}${total === null ? '' : ` of ${number(total)}`}…`
      if (total !== null) meter.value = Math.min(total, state.matched)
      let part
      try {
        part = await post(`tasks/${action}`, { filter, ...(state.cursor !== undefined && { cursor: state.cursor }) }, leaving.signal)
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        if (error.kind !== 'away' || ++attempts === MAX_ATTEMPTS) return pause(error, state, total)
        text.textContent = `${error.message} ${word} ${number(state.done)} so far; trying again.`
        await wait(Math.max(error.retryAfter, Math.min(MAX_RETRY, RETRY * 2 ** attempts)), leaving.signal)
        continue
      }
      attempts = 0
      state.matched += part.matched
      state.done += part.done
      state.skipped.push(...part.skipped)
      state.cursor = part.cursor
    }
    finish(state)
  }

  function pause (error, state, total) {
    const help = error.kind === 'signed-out' ? ' Sign in again in another tab, then go on.' : ''
    text.textContent = `${error.message}${help} ${tasks(state.done)} ${state.done === 1 ? 'is' : 'are'} ${done} so far.`
    row.replaceChildren(close('Close'), makeButton('Go on', 'primary', () => {
      row.replaceChildren(close('Stop'))
      row.firstChild.focus()
      void attempt(() => go(state, total))
    }))
    row.lastChild.focus()
  }

  function finish ({ matched, done: count, skipped: left }) {
    meter.hidden = true
    const notDone = matched - count
    text.textContent = `${tasks(count)} ${done}.${notDone > 0 ? ` ${tasks(notDone)} could not be:` : ''}`
    skipped.hidden = left.length === 0
    skipped.replaceChildren(...left.slice(0, 20).map(({ task_id, code }) => build(['li', {}, ['code', {}, task_id.slice(0, 8)], ` ${code}`])))
    row.replaceChildren(close('Close'))
    row.firstChild.focus()
  }

  /** Errors after the dialog was closed are expected: closing it aborts the requests. */
  async function attempt (work) {
    try {
      await work()
    } catch (error) {
      if (leaving.signal.aborted) return
      if (!(error instanceof Refusal)) throw error
      text.textContent = error.message
    }
  }

  await attempt(prepare)
  await closed
  if (running && running.cursor !== null) note(`Stopped: ${tasks(running.done)} ${done}. The part that was under way may be done, too.`)
}

function wait (ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    }, { once: true })
  })
}
