import { assetPath } from './assets.ts'
import { h, toHtml, type Element } from './tree.ts'
import { SECTIONS, type Page, type Section, type Viewer } from './viewer.ts'
import type { Operation } from '../http/access.ts'

/** Entries of the navigation, each with the operation that opens it. */
const ENTRIES: ReadonlyArray<readonly [section: Section, name: string, operation: Operation]> = [
  ['overview', 'Overview', 'stats'],
  ['tasks', 'Tasks', 'list'],
  ['workers', 'Workers', 'workers'],
  ['failures', 'Failures', 'failures']
]

/** The part of the document that polls replace. */
export function shell ({ root, may }: Viewer, section: Section | null, { content }: Page): Element[] {
  const entries = ENTRIES.filter(([, , operation]) => may(operation))
  return [
    h('header', { class: 'top' },
      h('p', { class: 'brand' }, 'Chart queue'),
      entries.length > 0 && h('nav', { 'aria-label': 'Dashboard' }, h('ul', {}, ...entries.map(([name, title]) =>
        h('li', {}, h('a', { href: root + SECTIONS[name], 'aria-current': name === section && 'page' }, title)))))),
    h('main', { id: 'main', tabindex: -1 }, ...content)
  ]
}

/** The whole document, for the first load of a page. */
export function documentOf (viewer: Viewer, section: Section | null, page: Page, etag: string): string {
  const { root } = viewer
  const head = h('head', {},
    h('meta', { charset: 'utf-8' }),
    h('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    h('meta', { name: 'color-scheme', content: 'light dark' }),
    h('meta', { name: 'robots', content: 'noindex' }),
    h('title', {}, titleOf(page)),
    h('link', { rel: 'icon', href: root + assetPath('icon.svg'), type: 'image/svg+xml' }),
    h('link', { rel: 'stylesheet', href: root + assetPath('style.css') }),
    h('script', { type: 'module', src: root + assetPath('dashboard.js') }))
  const body = h('body', { 'data-root': root, 'data-plots': root + assetPath('plots.js'), 'data-every': page.every, 'data-etag': etag },
    h('a', { class: 'skip', href: '#main' }, 'Skip to the content'),
    h('div', { id: 'page' }, ...shell(viewer, section, page)),
    h('footer', { class: 'foot' },
      h('p', { id: 'connection', role: 'status' }),
      h('button', { type: 'button', id: 'live', class: 'scripted' }, 'Pause updates')),
    h('div', { id: 'notes', role: 'status' }),
    h('dialog', { id: 'dialog', 'aria-labelledby': 'dialog-title' }))
  return `<!doctype html>\n${toHtml(h('html', { lang: 'en' }, head, body))}\n`
}

export const titleOf = ({ title }: Page): string => `${title} · Chart queue`
