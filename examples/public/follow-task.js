// Follows tasks while the page is looked at: by a stream each, and by asking where there would be too many streams.
import { openStream, statusOf } from './api.js'

/** Over HTTP/1.1 a browser opens six connections to a server, and the page needs some for its requests. */
const MOST_STREAMS = 4
/** ms between two questions about a task that has no stream. */
const POLL = 2000

const followers = new Set()
const countStreams = () => [...followers].filter(follower => follower.isStreaming).length

// A tab in the background would take connections from the one that is looked at. Every state is the whole task, so
// nothing is missed by looking away.
document.addEventListener('visibilitychange', () => {
  for (const follower of followers) {
    if (document.hidden) follower.pause()
    else follower.resume()
  }
})

export const isFinished = ({ status }) => ['COMPLETED', 'FAILED', 'CANCELLED'].includes(status)

/**
 * Tells `onTask` every state until the task has finished, `onConnection` whether news can come in, and `onGone` when
 * the task is not known any more. Returns what ends it.
 */
export function followTask (task_id, listener) {
  const follower = new Follower(task_id, listener)
  followers.add(follower)
  if (!document.hidden) follower.resume()
  return () => follower.end()
}

class Follower {
  #task_id
  #listener
  #stream = null
  #timer = 0
  #place = 0
  /** Grows whenever something else is begun: an answer to an earlier question is not waited for any more. */
  #turn = 0

  constructor (task_id, listener) {
    this.#task_id = task_id
    this.#listener = listener
  }

  get isStreaming () {
    return this.#stream !== null
  }

  resume () {
    this.pause()
    if (countStreams() < MOST_STREAMS) this.#watch()
    else this.#ask()
  }

  pause () {
    this.#stream?.close()
    this.#stream = null
    clearTimeout(this.#timer)
    clearTimeout(this.#place)
    this.#turn++
  }

  end () {
    this.pause()
    followers.delete(this)
  }

  #watch () {
    const stream = openStream(this.#task_id)
    this.#stream = stream
    stream.onopen = () => this.#listener.onConnection(true)
    stream.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      if (message.type === 'status_update') this.#take(message.data)
    }
    stream.onerror = () => {
      this.#listener.onConnection(false)
      // Refused for good, and a stream does not say why; the status route does.
      if (stream.readyState === stream.CLOSED) {
        this.pause()
        this.#ask()
      }
    }
  }

  async #ask () {
    const turn = this.#turn
    const isStale = () => turn !== this.#turn
    try {
      const task = await statusOf(this.#task_id)
      if (isStale()) return
      this.#listener.onConnection(true)
      this.#take(task)
    } catch (error) {
      if (isStale()) return
      if (error.status === 404) {
        this.end()
        this.#listener.onGone()
      } else {
        this.#listener.onConnection(false)
      }
    }
    if (!isStale()) this.#timer = setTimeout(() => this.resume(), POLL)
  }

  #take (task) {
    clearTimeout(this.#place)
    if (isFinished(task)) this.end()
    else if (this.isStreaming && task.queue_position) this.#place = setTimeout(() => this.#askForPlace(this.#turn), POLL)
    this.#listener.onTask(task)
  }

  /** A stream tells what becomes of the task, not that the line has moved. */
  async #askForPlace (turn) {
    const task = await statusOf(this.#task_id).catch(() => null)
    if (task?.queue_position && turn === this.#turn) this.#take(task)
  }
}
