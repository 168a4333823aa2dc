// One chart of a message: waiting, coming, there, or with what went wrong.
import { ApiError, cancelChart, resultOf } from './api.js'
import { followTask, isFinished } from './follow-task.js'
import { create, fromTemplate, tableOf, whileBusy } from './parts.js'

const STEPS = {
  data_extraction: 'Reading the data',
  llm_generation: 'Planning the chart',
  schema_creation: 'Writing the spec',
  rendering: 'Drawing'
}
const MOST_ROWS = 60

export class ChartCard {
  element
  #parts
  #task_id = null
  #ticking = 0
  #unfollow = () => {}

  /** `retry(adjustment, card)` asks for the chart once more, in the place of this card; it rejects where it cannot. */
  constructor (retry) {
    const { element, parts } = fromTemplate('card')
    this.element = element
    this.#parts = parts
    const id = crypto.getRandomValues(new Uint32Array(1))[0]
    parts.heading.id = `chart-${id}`
    parts.bar.setAttribute('aria-labelledby', parts.heading.id)
    element.setAttribute('aria-labelledby', parts.heading.id)
    parts['retry-adjustment'].id = `retry-${id}`
    parts['retry-label'].htmlFor = parts['retry-adjustment'].id
    parts.cancel.addEventListener('click', () => whileBusy(parts.cancel, () => this.#cancel()))
    parts.retry.addEventListener('submit', event => {
      event.preventDefault()
      whileBusy(parts.retry.querySelector('button'), () => this.#retry(retry))
    })
  }

  /** Shows a task that has just been created or found, and follows it to its end. */
  follow (task) {
    this.#name(task)
    this.#show(task)
    if (isFinished(task)) return
    this.#unfollow = followTask(task.task_id, {
      onTask: state => this.#show(state),
      onConnection: isThere => { this.#parts.reconnecting.hidden = isThere },
      onGone: () => this.#showProblem('The server does not know this chart any more', 'GONE')
    })
  }

  /** Shows a finished chart. */
  present (chart) {
    this.#name(chart)
    const { title, svg, rows } = chart.content
    const url = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }))
    const { image, download } = this.#parts
    image.src = url
    image.alt = `${title}; the rows are listed under Data`
    download.href = url
    download.download = `${title.replaceAll(/[^\p{L}\p{N}]+/gu, '-').toLowerCase()}.svg`
    this.#parts.rows.replaceChildren(tableOf(rows, MOST_ROWS))
    this.element.dataset.status = 'COMPLETED'
    this.#turnTo('figure', 'Done')
  }

  /** Draws the eye to a card that was there already. */
  pointOut () {
    this.element.focus()
    this.element.classList.remove('pointed-out')
    // Read, so that the browser sees the class go and come.
    this.element.getBoundingClientRect()
    this.element.classList.add('pointed-out')
  }

  remove () {
    this.#unfollow()
    clearInterval(this.#ticking)
    if (this.#parts.download.href) URL.revokeObjectURL(this.#parts.download.href)
    this.element.remove()
  }

  #name ({ task_id, adjustment_query }) {
    this.#task_id = task_id
    this.#parts['retry-adjustment'].value = adjustment_query ?? ''
    this.#parts.heading.textContent = adjustment_query ? `Chart, “${adjustment_query}”` : 'Chart for the question'
  }

  #show (task) {
    this.element.dataset.status = task.status
    switch (task.status) {
      case 'PENDING':
      case 'PROCESSING': return this.#showProgress(task)
      case 'COMPLETED': return this.#load()
      case 'FAILED': return this.#showProblem(task.error_message, task.error_code)
      case 'CANCELLED': return this.#showProblem('Cancelled', '')
    }
  }

  #showProgress (task) {
    const { bar, fill, percent, steps } = this.#parts
    const doing = task.status === 'PENDING' ? `Waiting, ${placeOf(task)}` : STEPS[task.current_step] ?? task.current_step.replaceAll('_', ' ')
    const retried = task.attempt > 1 ? `, try ${task.attempt} of ${task.max_attempts}` : ''
    bar.setAttribute('aria-valuenow', task.progress)
    bar.setAttribute('aria-valuetext', `${task.progress} %, ${doing}`)
    const tick = () => { percent.textContent = [`${task.progress} %`, timeLeft(task)].filter(Boolean).join(' · ') }
    clearInterval(this.#ticking)
    this.#ticking = setInterval(tick, 1000)
    tick()
    fill.style.inlineSize = `${task.progress}%`
    steps.replaceChildren(...Object.entries(STEPS).map(([step, name]) => stepOf(name, task.step_progress[step] === 100, step === task.current_step)))
    this.#turnTo('running', `${doing}${retried}`)
  }

  async #load () {
    this.#turnTo(null, 'Loading the chart')
    try {
      this.present(await resultOf(this.#task_id))
    } catch (error) {
      this.#fail(error)
    }
  }

  async #cancel () {
    try {
      const task = await cancelChart(this.#task_id)
      this.#unfollow()
      this.#show(task)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // It has just finished: the stream says so.
      if (error.status !== 409) this.#parts.status.textContent = `Not cancelled: ${error.message}`
    }
  }

  async #retry (retry) {
    try {
      await retry(this.#parts['retry-adjustment'].value.trim(), this)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail (error) {
    if (!(error instanceof ApiError)) throw error
    this.#showProblem(error.message, error.code)
  }

  #showProblem (reason, code) {
    const { reason: text, code: mark } = this.#parts
    text.textContent = reason
    mark.textContent = code
    mark.hidden = code === ''
    this.#turnTo('problem', '')
  }

  /** Shows one side of the card. The keyboard stays on it, where the button it was on goes. */
  #turnTo (side, status) {
    const hadFocus = this.element.contains(document.activeElement)
    const { cancel, percent, status: line, ...parts } = this.#parts
    // Read aloud when it changes: a percentage would be read for ever.
    if (line.textContent !== status) line.textContent = status
    for (const name of ['running', 'figure', 'problem']) parts[name].hidden = name !== side
    cancel.hidden = percent.hidden = side !== 'running'
    if (side !== 'running') clearInterval(this.#ticking)
    // Browsers differ in when they take it away from what is hidden.
    const { activeElement } = document
    if (hadFocus && (!this.element.contains(activeElement) || activeElement.closest('[hidden]'))) this.element.focus()
  }
}

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
