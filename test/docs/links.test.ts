import { existsSync, readdirSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import { anchorsOf, proseOf, readPage } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'

const documents = readdirSync(new URL('docs', root), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.md'))
const pages = ['README.md', 'CHANGELOG.md', ...documents.map(file => `docs/${file}`)]
/** Of the repository alone: the package does not have them, so that the README cannot link to them. */
const repositoryPages = ['CONTRIBUTING.md', 'SECURITY.md']

for (const page of [...pages, ...repositoryPages]) {
  t.test(`every link of ${page} leads somewhere`, async t => {
    const links = [...proseOf(readPage(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
    for (const link of links.filter(link => !/^https?:/.test(link))) {
      const [path, anchor] = link.split('#') as [string, string?]
      const file = path === '' ? page : posix.join(posix.dirname(page), path)
      if (!t.ok(existsSync(new URL(file, root)), `${link}: ${file} exists`) || anchor === undefined) continue
      t.ok(anchorsOf(readPage(file)).has(anchor), `${link}: ${file} has such a heading`)
    }
  })
}

t.test('every document can be reached from the README', async t => {
  const seen = new Set<string>()
  const visit = (page: string) => {
    if (seen.has(page)) return
    seen.add(page)
    for (const [, path] of proseOf(readPage(page)).matchAll(/\]\(([^)#\s]+\.md)/g)) {
      if (!/^https?:/.test(path!)) visit(posix.join(posix.dirname(page), path!))
    }
  }
  visit('README.md')
  t.same(pages.filter(page => !seen.has(page)), [])
})
