// Polls the page while it is visible, and reports when polling fails.

import { Refusal, askPage } from './server.js'
import { learnTime, writeTimes } from './times.js'

/** ms until the next poll: while the server is away (doubled with each failure), at most, and while the user is signed out. */
const RETRY = 2_000
const MAX_RETRY = 15_000
const RETRY_SIGNED_OUT = 10_000

const STORED = 'charts-dashboard-paused'

export class Live {
  #every = Number(document.body.dataset.every)
  #etag = document.body.dataset.etag
  #failures = 0
  #timer
  #ticker
  #asking = null
  #isPaused = sessionStorage.getItem(STORED) !== null
  #isHeld = () => false
  #show
  #line = document.getElementById('connection')
  #toggle = document.getElementById('live')

  constructor ({ show, isHeld }) {
    this.#show = show
    this.#isHeld = isHeld
    this.#toggle.addEventListener('click', () => this.#pause(!this.#isPaused))
    document.addEventListener('visibilitychange', () => this.#look())
    window.addEventListener('online', () => { void this.refresh() })
    this.#label()
    this.#look()
  }

  /** Polls at once, for instance after an action. */
  async refresh () {
    clearTimeout(this.#timer)
    this.#asking?.abort()
    const asking = this.#asking = new AbortController()
    try {
      const { response, body, etag } = await askPage(this.#etag, asking.signal)
      if (this.#asking !== asking) return
      this.#failures = 0
      learnTime(response)
      if (body && !this.#isHeld()) {
        this.#etag = etag
        this.#every = body.every
        this.#show(body)
      }
      this.#say()
      this.#wait(this.#every)
    } catch (error) {
      if (this.#asking !== asking || asking.signal.aborted) return
      if (!(error instanceof Refusal)) throw error
      this.#failed(error)
    }
  }

  /** Goes on after a selection that held the updates. */
  resume () {
    this.#say()
    if (!this.#isPaused) void this.refresh()
  }

  held () {
    this.#say()
  }

  #failed ({ kind, message, retryAfter }) {
    const wait = Math.min(MAX_RETRY, RETRY * 2 ** this.#failures++)
    switch (kind) {
      case 'away':
        this.#say('away', `${message} What you see is as it was; trying again.`)
        return this.#wait(Math.max(wait, retryAfter))
      case 'signed-out':
        this.#say('stopped', `${message} Sign in again, in another tab: this page then goes on.`)
        return this.#wait(RETRY_SIGNED_OUT)
      case 'forbidden':
        this.#say('stopped', 'You may not see this any more.')
        return this.#wait(RETRY_SIGNED_OUT)
      case 'gone':
        return this.#say('stopped', 'What this page shows is no longer kept.')
      default:
        return this.#say('stopped', message)
    }
  }

  #wait (ms) {
    clearTimeout(this.#timer)
    if (ms > 0 && !this.#isPaused && !document.hidden) this.#timer = setTimeout(() => this.refresh(), ms)
  }

  /** A hidden page sends no requests; a page that becomes visible polls at once. */
  #look () {
    clearInterval(this.#ticker)
    clearTimeout(this.#timer)
    this.#asking?.abort()
    if (document.hidden) return
    writeTimes()
    this.#ticker = setInterval(writeTimes, 1_000)
    if (!this.#isPaused) void this.refresh()
  }

  #pause (isPaused) {
    this.#isPaused = isPaused
    if (isPaused) sessionStorage.setItem(STORED, 'true')
    else sessionStorage.removeItem(STORED)
    this.#label()
    if (isPaused) clearTimeout(this.#timer)
    else void this.refresh()
  }

  #label () {
    this.#toggle.textContent = this.#isPaused ? 'Resume updates' : 'Pause updates'
    this.#say()
  }

  #say (state = this.#isPaused ? 'paused' : this.#isHeld() ? 'held' : 'live', text = { paused: 'Updates are paused.', held: 'Updates wait while tasks are selected.', live: 'Live' }[state]) {
    this.#line.className = state
    if (this.#line.textContent !== text) this.#line.textContent = text
  }
}
