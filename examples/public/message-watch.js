// All charts of a message over one connection, while the message is looked at.
import { charts, observe, reasonOf } from './client.js'

/** ms after which a watch begins again that the server has refused. */
const RETRY = 3000
/** What of the window does not count: at its edges one sees the question of one message and the form of another. */
const EDGES = '-15% 0px'

/**
 * Over HTTP/1.1 a browser opens six connections to a server, for all its tabs together: a message has one only while it
 * can be seen. Nothing is missed by looking away, as a watch begins with the tasks as they are.
 */
export class MessageWatch {
  #message_id
  #listener
  #isStarted = false
  #isInView = false
  /** Aborted when nobody looks any more; null while nobody does. */
  #leaving = null

  /** Tells `onTask` every state of every chart, new ones too, and `onConnection` when news can come in, and when it no longer can. */
  constructor (message_id, element, listener) {
    this.#message_id = message_id
    this.#listener = listener
    document.addEventListener('visibilitychange', () => this.#update())
    new window.IntersectionObserver(entries => {
      this.#isInView = entries.at(-1).isIntersecting
      this.#update()
    }, { rootMargin: EDGES }).observe(element)
  }

  start () {
    this.#isStarted = true
    this.#update()
  }

  #update () {
    const isWanted = this.#isStarted && this.#isInView && !document.hidden
    if (isWanted && !this.#leaving) this.#watch(this.#leaving = new AbortController())
    if (!isWanted) this.#leave()
  }

  #leave () {
    this.#leaving?.abort()
    this.#leaving = null
  }

  async #watch ({ signal }) {
    let wasThere = null
    const tell = isThere => {
      if (isThere !== wasThere && !signal.aborted) this.#listener.onConnection(isThere)
      wasThere = isThere
    }
    observe(this.#message_id, tell)
    try {
      for await (const task of charts.watchMessage(this.#message_id, { signal })) this.#listener.onTask(task)
    } catch (error) {
      reasonOf(error)
      tell(false)
      // A server that is being replaced may answer what the client does not repeat.
      setTimeout(() => {
        if (signal.aborted) return
        this.#leave()
        this.#update()
      }, RETRY)
    }
  }
}
