// Holds documents and comments to one word for one thing: what docs/glossary.md defines, and not the words that it replaced.
import { readdirSync } from 'node:fs'
import { extname } from 'node:path'
import t from 'tap'
import { readPage } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'

/** Folders and files whose documents, comments and names are held. */
const HELD = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'docs', 'lib', 'test', 'examples', 'bench', 'scripts']
/** Written from other files, which are held themselves. */
const GENERATED_FILE = /\.generated\.ts$/
const GENERATED_PART = /<!-- generated: [^]*?<!-- end -->/g

const ONE = '(?:a|an|the|this|that|each|every|another|one|no|per|its|first|second|last|next|earlier|later|further|new|same|latest|current) '
const TASK = '(?:it|one|them|(?:(?:a|an|the|its|no|more|new|next|such|further|other|waiting) )*tasks?)'

/** A word in prose that has gone, and what is written in its place. Code in backticks is not prose. */
const RETIRED_WORDS: ReadonlyArray<readonly [RegExp, string]> = [
  [new RegExp(`\\b${ONE}try\\b|\\btries\\b`, 'i'), 'attempt'],
  [new RegExp(`\\bworkers? (?:that )?takes? ${TASK}\\b|\\btak(?:e|es|en|ing) (?:up )?(?:(?:the|a|no|more|new|next|such|further) )+tasks?\\b`, 'i'), 'claim'],
  [/\bhand(?:s|ed|ing)? out\b/i, 'claim'],
  [/\bhand(?:s|ed|ing)? (?:it |them |tasks? |the rest )?back\b|\bhand-backs?\b/i, 'release'],
  [/\bprolong/i, 'extend'],
  [/\bclosings\b/i, 'settlements'],
  [/\bintake\b/i, 'admission'],
  [/\bthe gate\b/i, 'access policy'],
  [/\bpatien(?:ce|t|tly)\b/i, 'timeout, or Prefer: wait'],
  [/\bjudg(?:e|es|ed|ing)\b/i, 'validate, check or decide'],
  [/\boutlooks?\b/i, 'queue snapshot'],
  [/\bshel(?:f|ves)\b/i, 'state of the memory store'],
  [/\bthe bell\b(?! curve)/i, 'work signal'],
  [/\b(?:a|the) door\b|\bat the door\b/i, 'public projection'],
  [/\brooms?\b/i, 'module, place, or memory'],
  [/\bhouse\b/i, 'module'],
  [/\bwak(?:e|es|en|ing)\b|\bwoken\b|\bwoke\b/i, 'work signal, or notify'],
  [/\balike\b/i, 'duplicate, or equal'],
  [/\b(?:un)?asked of the host\b|\bunasked\b/i, 'chart check'],
  [/\bcrowd(?:s|ed)?\b/i, 'too many batches, or workload'],
  [/\bwitness/i, 'invariant'],
  [/\bhurr(?:y|ies|ied)\b/i, 'force stop'],
  [/\bbroke\b/i, 'failed unexpectedly']
]

/** A name in code that has gone. */
const RETIRED_NAMES: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(?:MOST|DEEPEST|HEAVIEST|LONGEST)(?:_[A-Z_]+)?\b/, 'MAX_…'],
  [/\b(?:Intake|IntakeOptions)\b/, 'admission'],
  [/\b(?:Closing|closeLeases)\b/, 'Settlement, settleAttempts'],
  // Where they are declared: tests import a `Gate` of their own.
  [/\b(?:class|interface|type) (?:Gate|Patience|Judge|Fault|Outlook|Shelves|Bell)\b(?=[^,}]*[{=])/, 'AccessPolicy, PreferWait, Validator, ValidationIssue, QueueSnapshot, MemoryState, WorkSignal'],
  [/\btake_id\b/, 'claim_id'],
  [/\b(?:charts_unasked|charts_inside|task_crowded|answers_for)\b/, 'chart_check_required, stores_content, too_many_batches, count_refs'],
  [/#hurry\b|\bLAST_WORD\b/, '#forceStop, DRAIN_GRACE_MS']
]

/** What may be written all the same, in the one file named, and why. */
const ALLOWED: ReadonlyArray<readonly [file: string, text: string, reason: string]> = [
  ['test/helpers/gate.ts', 'interface Gate', 'a promise that a test settles, and no access policy']
]

const onOneLine = (text: string) => text.replace(/\s+/g, ' ')
const withoutCode = (text: string) => text.replace(/`[^`\n]*`/g, '`…`')

/** Comments of a program, those on consecutive lines as one. */
function commentsOf (source: string, language: string): string {
  const pattern = language === 'lua' ? /(?:^|\s)--(?! @include) ?(.*)$/gm : /\/\*\*?([^]*?)\*\/|(?:^|\s)\/\/ (.*)$/gm
  return [...source.matchAll(pattern)].map(([, first, second]) => (first ?? second)!.replace(/^\s*\*/gm, '')).join(' ')
}

/** What people read: of a document its text, without links' targets, and the comments of its snippets. */
function proseOf (file: string): string {
  const text = readPage(file)
  const language = extname(file).slice(1)
  if (language !== 'md') return onOneLine(withoutCode(commentsOf(text, language)))
  const snippets: string[] = []
  const prose = text.replace(GENERATED_PART, '').replace(/^```(\w*)\n([^]*?)^```$/gm, (_fence, language: string, source: string) => {
    snippets.push(commentsOf(source, language))
    return ''
  })
  return onOneLine(withoutCode(`${prose.replace(/\]\([^)\s]+\)/g, ']')} ${snippets.join(' ')}`))
}

const READABLE = ['.md', '.ts', '.mts', '.js', '.lua']
const filesIn = (folder: string) => readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }).map(file => `${folder}/${file}`)
const files = HELD.flatMap(held => extname(held) === '' ? filesIn(held) : [held])
  .filter(file => READABLE.includes(extname(file)) && !GENERATED_FILE.test(file) && !file.includes('/node_modules/') && file !== 'test/unit/words.test.ts')

/** Each occurrence, with what is around it. */
function findIn (text: string, retired: ReadonlyArray<readonly [RegExp, string]>): string[] {
  return retired.flatMap(([pattern, instead]) => [...text.matchAll(new RegExp(pattern, `${pattern.flags}g`))].map(
    ({ 0: found, index }) => `“${found}” (${instead}): …${text.slice(Math.max(0, index - 40), index + found.length + 40)}…`))
}

const allowedIn = (file: string) => ALLOWED.filter(([where]) => where === file)

t.test('retired words are in no document and in no comment', async t => {
  t.ok(files.length > 20, `${files.length} files are read`)
  for (const file of files) {
    let prose = proseOf(file)
    for (const [, text] of allowedIn(file)) prose = prose.replaceAll(text, '')
    t.same(findIn(prose, RETIRED_WORDS), [], file)
  }
})

t.test('retired names are in no code', async t => {
  for (const file of files.filter(file => extname(file) !== '.md')) {
    let source = readPage(file)
    for (const [, text] of allowedIn(file)) source = source.replaceAll(text, '')
    t.same(findIn(source, RETIRED_NAMES), [], file)
  }
})

t.test('what is allowed is still written', async t => {
  for (const [file, text] of ALLOWED) t.ok(onOneLine(readPage(file)).includes(text), `${file} says “${text}”: else it need not be allowed`)
})

t.test('each pattern finds what it is for', async t => {
  const examples = [
    'each try', 'tries', 'a worker takes it', 'takes the next task', 'hands out tasks', 'handed back', 'a hand-back', 'prolonged', 'closings', 'intake',
    'the gate', 'patience', 'judged', 'an outlook', 'shelves', 'the bell', 'at the door', 'no room', 'a house', 'wakes', 'alike', 'unasked', 'crowded', 'witness',
    'in a hurry', 'it broke'
  ]
  for (const example of examples) t.equal(findIn(example, RETIRED_WORDS).length > 0, true, example)
  for (const [pattern] of RETIRED_WORDS) t.ok(examples.some(example => pattern.test(example)), String(pattern))
  t.same(findIn('The worker tries again. The claim takes a second, and a path takes care of it.', RETIRED_WORDS).map(found => found.slice(0, 8)), ['“tries” '])
})
