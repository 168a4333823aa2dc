import { listMessages, reasonOf } from './client.js'
import { MessageView } from './message-view.js'
import { create } from './parts.js'

const chat = document.getElementById('chat')

async function load () {
  const hadFocus = chat.contains(document.activeElement)
  chat.setAttribute('aria-busy', 'true')
  chat.replaceChildren(create('p', 'Loading the chat…', { className: 'hint' }))
  try {
    const views = (await listMessages()).map(message => new MessageView(message))
    chat.replaceChildren(...views.map(view => view.element))
    await Promise.all(views.map(view => view.load()))
  } catch (error) {
    const notice = create('p', `${reasonOf(error)}. `, { className: 'notice', role: 'alert' })
    notice.append(create('button', 'Try again', { onclick: load }))
    chat.replaceChildren(notice)
  } finally {
    chat.setAttribute('aria-busy', 'false')
  }
  // “Try again” is gone, and the keyboard would begin at the top of the page.
  if (hadFocus) chat.querySelector('button, input, [tabindex]')?.focus({ preventScroll: true })
}

load()
