import { readdirSync } from 'node:fs'
import t from 'tap'
import ts from 'typescript'
import { errors, failures } from '../../lib/errors.ts'
import { readPage } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'

const PAGE = 'docs/troubleshooting.md'
const page = readPage(PAGE)
const inDocs = (folder: string) => readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.md')).map(file => `${folder}/${file}`)
/** One line, so that a message may be broken where a page is. */
const onOneLine = (text: string) => text.replace(/\s+/g, ' ')
const docs = inDocs('docs').map(file => onOneLine(readPage(file))).join('\n')

/** The texts that an expression may have, each as what stands between what is put in. */
function textsOf (node: ts.Expression): string[][] {
  if (ts.isStringLiteralLike(node)) return [[node.text]]
  if (ts.isTemplateExpression(node)) return [[node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)]]
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)]
  return []
}

interface Line {
  readonly file: string
  readonly parts: string[]
}

/** What is logged as a warning or an error: `logger.warn(details, text)`, however the logger is called. */
function loggedIn (file: string): Line[] {
  const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest, true)
  const found: Line[] = []
  const visit = (node: ts.Node) => {
    if (ts.isCallExpression(node) && isLogging(node.expression) && node.arguments.length === 2) {
      for (const parts of textsOf(node.arguments[1]!)) found.push({ file, parts: parts.map(part => onOneLine(part).trim()).filter(part => part.length > 2) })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** A level that is computed counts, too. */
function isLogging (called: ts.Expression): boolean {
  if (ts.isElementAccessExpression(called)) return /logger$/.test(called.expression.getText())
  return ts.isPropertyAccessExpression(called) && ['warn', 'error'].includes(called.name.text) && /log(?:ger)?(?:\(\))?\??$/.test(called.expression.getText())
}

const sources = readdirSync(new URL('lib', root), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => `lib/${file}`)
const lines = sources.flatMap(loggedIn)

t.test('every warning and error that is logged is on a page', async t => {
  t.ok(lines.length >= 25, `${lines.length} are found`)
  for (const { file, parts } of lines) {
    for (const part of parts) t.ok(docs.includes(part), `${file}: ${part}`)
  }
})

t.test('every code that a host or a user can meet is on the page, or is what a client did', async t => {
  const known = new Set([...page.matchAll(/CHARTS_ERR_[A-Z_]+/g)].map(([code]) => code))
  for (const code of known) t.ok(code in errors || code in failures, `${code} exists`)
  const ofServers = Object.entries(errors).filter(([, Class]) => new (Class as new () => { statusCode: number })().statusCode >= 500).map(([code]) => code)
  for (const code of [...ofServers, ...Object.keys(failures)]) t.ok(known.has(code), code)
})
