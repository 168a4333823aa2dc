import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import t from 'tap'
import { followGuide } from '../helpers/guide.ts'
import { readPage, root, snippetsOf } from '../helpers/markdown.ts'

const guides = readdirSync(new URL('docs/guides', root)).map(file => `docs/guides/${file}`)
const CODE = /\.(js|ts)$/

for (const guide of guides) {
  t.test(`${guide}: every snippet of code has a name, and no two have the same`, async t => {
    const code = snippetsOf(readPage(guide)).filter(({ language }) => ['js', 'ts', 'html'].includes(language))
    for (const { name, source } of code) t.ok(name, source.slice(0, 60))
    const names = code.map(({ name }) => name)
    t.same(names, [...new Set(names)])
    t.ok(names.length > 1, 'the guide has snippets')
  })

  t.test(`${guide}: the snippets hold against the types of the package`, async t => {
    const { folder, files } = await followGuide(t, guide)
    const program = ts.createProgram(files.filter(file => CODE.test(file)).map(file => join(folder, file)), {
      allowJs: true,
      checkJs: true,
      strict: true,
      noImplicitAny: false,
      useUnknownInCatchVariables: false,
      noEmit: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      types: ['node'],
      typeRoots: [join(folder, 'node_modules/@types')]
    })
    const faults = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const at = file && start !== undefined ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1} ` : ''
      return at + ts.flattenDiagnosticMessageText(messageText, '\n')
    })
    t.same(faults, [])
  })
}

t.test('examples of JSON are JSON', async t => {
  for (const page of [...guides, 'docs/reference/http-api.md', 'docs/reference/errors.md']) {
    for (const { language, source } of snippetsOf(readPage(page))) {
      if (language === 'json') t.doesNotThrow(() => JSON.parse(source), `${page}: ${source.slice(0, 60)}`)
    }
  }
})
