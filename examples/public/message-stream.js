// All charts of a message over one stream, while the message is looked at.
import { openStream } from './api.js'

/** ms after which a stream is opened again that the browser has given up. */
const RETRY = 3000
/** What of the window does not count: at its edges one sees the question of one message and the form of another. */
const EDGES = '-15% 0px'

/**
 * Over HTTP/1.1 a browser opens six connections to a server, for all its tabs together: a message has one only while it
 * can be seen. Nothing is missed by looking away, as the cursor says what is known.
 */
export class MessageStream {
  #message_id
  #listener
  #cursor = null
  #source = null
  #isInView = false

  /** Tells `onTask` every state of every chart, new ones too, and `onConnection` whether news can come in. */
  constructor (message_id, element, listener) {
    this.#message_id = message_id
    this.#listener = listener
    document.addEventListener('visibilitychange', () => this.#update())
    new window.IntersectionObserver(entries => {
      this.#isInView = entries.at(-1).isIntersecting
      this.#update()
    }, { rootMargin: EDGES }).observe(element)
  }

  start (cursor) {
    this.#cursor = cursor
    this.#update()
  }

  #update () {
    const isWanted = this.#cursor !== null && this.#isInView && !document.hidden
    if (isWanted && !this.#source) this.#open()
    if (!isWanted) this.#close()
  }

  #open () {
    const source = openStream(this.#message_id, this.#cursor)
    this.#source = source
    source.onopen = () => this.#listener.onConnection(true)
    source.onmessage = ({ data, lastEventId }) => {
      this.#cursor = lastEventId
      const message = JSON.parse(data)
      if (message.type === 'status_update') this.#listener.onTask(message.data)
    }
    source.onerror = () => {
      this.#listener.onConnection(false)
      // A server that is being replaced may answer what a browser does not forgive.
      if (source.readyState === source.CLOSED) {
        this.#close()
        setTimeout(() => this.#update(), RETRY)
      }
    }
  }

  #close () {
    this.#source?.close()
    this.#source = null
  }
}
