// What is known of options: the schemas that they are checked against, and the docstrings of the interfaces that they are declared with.
import { readFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import ts from 'typescript'
import {
  DashboardOptionsSchema, InProcessWorkerSchema, LimitsSchema, PluginOptionsSchema, RetentionSchema, RetrySchema, ServiceOptionsSchema, StreamSchema, WorkerOptionsSchema
} from '../lib/options/schemas.ts'

/** What is said of an option where it is declared. */
export interface OptionField {
  /** The docstring, on one line. */
  readonly text: string
  /** What stands behind `@default`. */
  readonly fallback: string | undefined
  readonly deprecated: boolean
}

export interface OptionTable {
  readonly schema: TSchema
  /** By their names, those of the interfaces that are extended first. */
  readonly fields: ReadonlyMap<string, OptionField>
}

/** Each schema, and the interfaces that it checks. The first four are options as a whole, the others groups of them. */
const TABLES: Readonly<Record<string, readonly [schema: TSchema, ...interfaces: string[]]>> = {
  plugin: [PluginOptionsSchema, 'AsyncChartsOptions', 'RouteLogOptions'],
  service: [ServiceOptionsSchema, 'ChartQueueServiceOptions'],
  'run-worker': [WorkerOptionsSchema, 'RunWorkerOptions'],
  dashboard: [DashboardOptionsSchema, 'AsyncChartsDashboardOptions', 'RouteLogOptions'],
  retention: [RetentionSchema, 'RetentionOptions'],
  retry: [RetrySchema, 'RetryOptions'],
  backoff: [RetrySchema.properties.backoff, 'BackoffOptions'],
  limits: [LimitsSchema, 'LimitsOptions'],
  worker: [InProcessWorkerSchema, 'WorkerOptions'],
  stream: [StreamSchema, 'StreamOptions']
}

const SOURCES = ['lib/options/types.ts', 'lib/chart-queue-service.ts', 'lib/plugin.ts', 'lib/worker/run-worker.ts', 'lib/dashboard/index.ts']

const onOneLine = (comment: ts.JSDoc['comment']): string => (ts.getTextOfJSDocComment(comment) ?? '').replace(/\s+/g, ' ').trim()

function fieldOf (member: ts.TypeElement): OptionField {
  const tags = ts.getJSDocTags(member)
  const valueOf = (name: string) => tags.filter(tag => tag.tagName.text === name).map(tag => onOneLine(tag.comment))[0]
  const text = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc).map(({ comment }) => onOneLine(comment)).join(' ')
  const deprecated = valueOf('deprecated')
  return { text: deprecated ?? text, fallback: valueOf('default'), deprecated: deprecated !== undefined }
}

/** Reads the interfaces from their sources below `root`. */
export function readOptionTables (root: URL): ReadonlyMap<string, OptionTable> {
  const interfaces = new Map<string, ts.InterfaceDeclaration>()
  for (const path of SOURCES) {
    const file = ts.createSourceFile(path, readFileSync(new URL(path, root), 'utf8'), ts.ScriptTarget.Latest, true)
    for (const statement of file.statements) if (ts.isInterfaceDeclaration(statement)) interfaces.set(statement.name.text, statement)
  }
  function fieldsOf (name: string): Array<[string, OptionField]> {
    const declaration = interfaces.get(name)
    if (!declaration) throw new Error(`no interface ${name}`)
    const parents = (declaration.heritageClauses ?? []).flatMap(({ types }) => types.map(type => type.expression.getText()))
    const own = declaration.members.map((member): [string, OptionField] => [member.name!.getText(), fieldOf(member)])
    return [...parents.flatMap(fieldsOf), ...own]
  }
  return new Map(Object.entries(TABLES).map(([name, [schema, ...names]]) => [name, { schema, fields: new Map(names.flatMap(fieldsOf)) }]))
}
