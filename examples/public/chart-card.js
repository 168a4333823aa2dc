// One chart of a message: waiting, coming, there, or with what went wrong.
import { charts, reasonOf } from './client.js'
import { create, fromTemplate, tableOf, whileBusy } from './parts.js'

const STEPS = {
  data_extraction: 'Reading the data',
  llm_generation: 'Planning the chart',
  schema_creation: 'Writing the spec',
  rendering: 'Drawing'
}
const MAX_ROWS = 60
/** ms after which a chart that waits asks for its place: the line moves without a change of the task. */
const PLACE = 2000

export class ChartCard {
  task_id
  element
  #parts
  #columns
  #version = 0
  /** Whether all is shown that there will be. */
  #isFinal = false
  #urls = []
  #ticking = 0
  #asking = 0

  /** `columns` are the titles of the data; `retry(adjustment)` asks for the chart once more and rejects where it cannot; `dismiss()` removes the card. */
  constructor (task_id, { columns, retry, dismiss }) {
    const { element, parts } = fromTemplate('card')
    this.task_id = task_id
    this.element = element
    this.#parts = parts
    this.#columns = columns
    parts.heading.id = `chart-${task_id}`
    parts.bar.setAttribute('aria-labelledby', parts.heading.id)
    element.setAttribute('aria-labelledby', parts.heading.id)
    parts['retry-adjustment'].id = `retry-${task_id}`
    parts['retry-label'].htmlFor = parts['retry-adjustment'].id
    parts.cancel.addEventListener('click', () => whileBusy(parts.cancel, () => this.#cancel()))
    parts.dismiss.addEventListener('click', dismiss)
    parts.retry.addEventListener('submit', event => {
      event.preventDefault()
      whileBusy(parts.retry.querySelector('button'), () => this.#retry(retry))
    })
    for (const button of [parts.cancel, parts.dismiss]) button.setAttribute('aria-describedby', parts.heading.id)
  }

  /** Shows a state of the task, unless it is older than what is shown: answers overtake each other. */
  take (task) {
    if (this.#isFinal || task.version < this.#version) return
    this.#version = task.version
    this.#isFinal = ['COMPLETED', 'FAILED', 'CANCELLED'].includes(task.status)
    this.#name(task)
    this.#show(task)
  }

  /** Shows a finished chart. */
  present (chart) {
    this.#isFinal = true
    this.#name(chart)
    const { title, svg, narrow_svg, rows } = chart.content
    const [wide, narrow] = this.#urls = [svg, narrow_svg].map(drawing => URL.createObjectURL(new Blob([drawing], { type: 'image/svg+xml' })))
    const { image, phone, download } = this.#parts
    phone.srcset = narrow
    image.src = wide
    image.alt = `${title}; the rows are listed under Data`
    download.href = wide
    download.download = `${title.replaceAll(/[^\p{L}\p{N}]+/gu, '-').toLowerCase()}.svg`
    this.#parts.rows.setAttribute('aria-label', `Data of “${title}”`)
    this.#parts.rows.replaceChildren(tableOf(rows, this.#columns, MAX_ROWS))
    this.element.dataset.status = 'COMPLETED'
    this.#turnTo('figure', 'Done')
  }

  /** Says whether news can come in. What is unfinished is asked for when they can again: it may be gone for good. */
  connected (isThere) {
    this.#parts.reconnecting.hidden = isThere
    if (isThere && !this.#isFinal) this.#ask()
  }

  get isDone () {
    return this.element.dataset.status === 'COMPLETED'
  }

  /** Whether there will be no chart. */
  get isLost () {
    return ['FAILED', 'CANCELLED'].includes(this.element.dataset.status)
  }

  /** Whether the card is the one that was asked for again. */
  mark (isMarked) {
    this.element.classList.toggle('marked', isMarked)
  }

  remove () {
    this.#rest()
    for (const url of this.#urls) URL.revokeObjectURL(url)
    this.element.remove()
  }

  #name ({ adjustment_query }) {
    this.#parts['retry-adjustment'].value = adjustment_query ?? ''
    this.#parts.heading.textContent = adjustment_query ? capitalized(adjustment_query) : 'Default chart'
  }

  #show (task) {
    this.element.dataset.status = task.status
    switch (task.status) {
      case 'PENDING':
      case 'PROCESSING': return this.#showProgress(task)
      case 'COMPLETED': return this.#load()
      case 'FAILED': return this.#showProblem(task.error_message)
      case 'CANCELLED': return this.#showProblem('Cancelled')
    }
  }

  #showProgress (task) {
    const { bar, fill, percent, steps } = this.#parts
    const doing = task.status === 'PENDING' ? `Waiting, ${placeOf(task)}` : STEPS[task.current_step] ?? task.current_step.replaceAll('_', ' ')
    const retried = task.attempt > 1 ? `, attempt ${task.attempt} of ${task.max_attempts}` : ''
    bar.setAttribute('aria-valuenow', task.progress)
    bar.setAttribute('aria-valuetext', `${task.progress} %, ${doing}`)
    const tick = () => { percent.textContent = [`${task.progress} %`, timeLeft(task)].filter(Boolean).join(' · ') }
    tick()
    this.#rest()
    this.#ticking = setInterval(tick, 1000)
    if (task.queue_position) this.#asking = setTimeout(() => document.hidden || this.#ask(), PLACE)
    fill.style.inlineSize = `${task.progress}%`
    steps.replaceChildren(...Object.entries(STEPS).map(([step, name]) => stepOf(name, task.step_progress[step] === 100, step === task.current_step)))
    this.#turnTo('running', `${doing}${retried}`)
  }

  async #load () {
    this.#turnTo(null, 'Loading the chart')
    try {
      this.present(await charts.result(this.task_id))
    } catch (error) {
      this.#isFinal = false
      this.#showProblem(reasonOf(error))
    }
  }

  async #ask () {
    try {
      this.take(await charts.status(this.task_id))
    } catch (error) {
      reasonOf(error)
      // That the server cannot be reached, the watch of the message tells.
      if (error.status !== 404) return
      this.#isFinal = true
      this.#showProblem('The server does not know this chart any more')
    }
  }

  async #cancel () {
    try {
      this.take(await charts.cancel(this.task_id))
    } catch (error) {
      const reason = reasonOf(error)
      // It has just finished: the watch of the message says so.
      if (error.status !== 409) this.#parts.status.textContent = `Not cancelled: ${reason}`
    }
  }

  async #retry (retry) {
    try {
      await retry(this.#parts['retry-adjustment'].value.trim())
    } catch (error) {
      this.#showProblem(reasonOf(error))
    }
  }

  #showProblem (reason) {
    this.#parts.reason.textContent = reason
    this.#turnTo('problem', '')
  }

  #rest () {
    clearInterval(this.#ticking)
    clearTimeout(this.#asking)
  }

  /** Shows one side of the card. The keyboard stays on it, where the button it was on goes. */
  #turnTo (side, status) {
    const hadFocus = this.element.contains(document.activeElement)
    const { cancel, dismiss, percent, status: line, ...parts } = this.#parts
    // Read aloud when it changes: a percentage would be read for ever.
    if (line.textContent !== status) line.textContent = status
    for (const name of ['running', 'figure', 'problem']) parts[name].hidden = name !== side
    cancel.hidden = percent.hidden = side !== 'running'
    dismiss.hidden = side !== 'problem'
    if (side !== 'running') this.#rest()
    // Browsers differ in when they take it away from what is hidden.
    const { activeElement } = document
    if (hadFocus && (!this.element.contains(activeElement) || activeElement.closest('[hidden]'))) this.element.focus()
  }
}

const capitalized = text => text.charAt(0).toUpperCase() + text.slice(1)

function placeOf ({ queue_position, current_step }) {
  if (!queue_position) return current_step.replaceAll('_', ' ')
  return queue_position === 1 ? 'next in line' : `number ${queue_position} in line`
}

/** What is left by the estimate; nothing where there is none, or it has run out. */
function timeLeft ({ estimated_completion }) {
  const seconds = Math.round((Date.parse(estimated_completion) - Date.now()) / 1000)
  if (!(seconds > 0)) return ''
  return seconds < 90 ? `about ${seconds} s` : `about ${Math.round(seconds / 60)} min`
}

function stepOf (name, isDone, isCurrent) {
  const item = create('li', name, { className: isDone ? 'done' : isCurrent ? 'current' : '' })
  if (isDone) item.append(create('span', ', done', { className: 'hidden' }))
  if (isCurrent) item.setAttribute('aria-current', 'step')
  return item
}
