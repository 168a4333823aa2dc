// The client of the page, which watches its messages, and what else the page asks its server.
import { ChartsClientError, createChartsClient } from 'fastify-async-charts/client'

/** What is told of the requests for the news of a message, by its id. */
const listeners = new Map()

/** The client goes on by itself when it gets no answer. The page says so meanwhile. */
async function observed (url, init) {
  const tell = listeners.get(/\/by-message\/([\da-f-]+)/.exec(url.pathname)?.[1]) ?? (() => {})
  try {
    const response = await fetch(url, init)
    tell(response.ok)
    return response
  } catch (error) {
    if (!init.signal?.aborted) tell(false)
    throw error
  }
}

export const charts = createChartsClient({ fetch: observed })

/** Calls `tell` with whether the server answers, each time it is asked for the charts of a message. */
export const observe = (message_id, tell) => listeners.set(message_id, tell)

/** The messages of the chat. */
export async function listMessages () {
  const response = await fetch('/messages').catch(() => null)
  if (!response?.ok) throw new ChartsClientError('NETWORK_ERROR', 'No answer from the server', { status: response?.status })
  return response.json()
}

/** What went wrong, in words for the user. @throws what is a fault of the page */
export function reasonOf (error) {
  if (!(error instanceof ChartsClientError)) throw error
  return error.code === 'NETWORK_ERROR' ? 'The server cannot be reached' : error.message
}
