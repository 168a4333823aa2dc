import { link } from '../components.ts'
import { h } from '../tree.ts'
import type { Page } from '../viewer.ts'

/** ms between two polls of an error page: the store may come back at any time; a sign-in takes longer. */
const EVERY_PASSING = 3_000
const EVERY_LASTING = 15_000

const TITLES: Readonly<Record<number, string>> = {
  400: 'This cannot be asked for',
  401: 'Sign in first',
  403: 'Not allowed',
  404: 'Not found',
  503: 'The queue cannot be reached'
}

const HINTS: Readonly<Record<number, string>> = {
  401: 'Nobody is signed in here. Sign in to the application; this page then goes on by itself.',
  403: 'Your account may not see this. Those who run the application decide who may.',
  404: 'The task is unknown, or its retention has passed.',
  503: 'The store of the queue does not answer. Tasks that were accepted are kept. This page tries again by itself.'
}

/** An error page. */
export function problem (root: string, statusCode: number, message: string): Page {
  const title = TITLES[statusCode] ?? 'This did not work'
  return {
    title,
    every: statusCode === 503 ? EVERY_PASSING : statusCode === 401 || statusCode === 403 ? EVERY_LASTING : 0,
    content: [
      h('div', { class: 'problem' },
        h('h1', {}, title),
        h('p', {}, HINTS[statusCode] ?? message),
        statusCode !== 401 && h('p', {}, link(root, 'To the overview')))
    ]
  }
}
