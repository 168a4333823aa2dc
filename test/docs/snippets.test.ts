import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { followGuide } from '../helpers/guide.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'
import { typeFaults } from '../helpers/type-faults.ts'

const guides = readdirSync(new URL('docs/guides', root)).map(file => `docs/guides/${file}`)
const CODE = /\.(js|ts)$/

for (const guide of guides) {
  t.test(`${guide}: every snippet of code has a name, and no two have the same`, async t => {
    const code = snippetsOf(readPage(guide)).filter(({ language }) => ['js', 'ts', 'html'].includes(language))
    for (const { name, source } of code) t.ok(name, source.slice(0, 60))
    const names = code.map(({ name }) => name)
    t.same(names, [...new Set(names)])
    t.ok(names.length > 0, 'the guide has snippets')
  })
}

t.test('the snippets of the guides hold against the types of the package', async t => {
  // One program for all: most of its time goes into the declarations of what the guides use.
  const followed = await Promise.all(guides.map(guide => followGuide(t, guide)))
  const code = followed.flatMap(({ folder, files }) => files.filter(file => CODE.test(file)).map(file => join(folder, file)))
  t.same(await typeFaults(followed[0]!.folder, code, { allowJs: true, checkJs: true, noImplicitAny: false, useUnknownInCatchVariables: false }), [])
})

t.test('examples of JSON are JSON', async t => {
  for (const page of [...guides, 'docs/reference/http-api.md', 'docs/reference/errors.md']) {
    for (const { language, source } of snippetsOf(readPage(page))) {
      if (language === 'json') t.doesNotThrow(() => JSON.parse(source), `${page}: ${source.slice(0, 60)}`)
    }
  }
})
