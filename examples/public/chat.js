import { ApiError, listMessages } from './api.js'
import { MessageView } from './message-view.js'
import { create } from './parts.js'

const chat = document.getElementById('chat')

async function load () {
  chat.setAttribute('aria-busy', 'true')
  try {
    const views = (await listMessages()).map(message => new MessageView(message))
    chat.replaceChildren(...views.map(view => view.element))
    await Promise.all(views.map(view => view.load()))
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const notice = create('p', `${error.message}. `, { className: 'notice', role: 'alert' })
    notice.append(create('button', 'Try again', { onclick: load }))
    chat.replaceChildren(notice)
  } finally {
    chat.setAttribute('aria-busy', 'false')
  }
}

load()
