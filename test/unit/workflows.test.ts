import { readdirSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { readPage } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'

interface Step { readonly uses?: string }
interface Job { readonly uses?: string, readonly permissions?: Record<string, string>, readonly steps?: readonly Step[] }
interface Workflow { readonly permissions: Record<string, string>, readonly jobs: Record<string, Job> }

const folder = '.github/workflows/'
const workflows = readdirSync(new URL(folder, root)).map(file => [file, parse(readPage(folder + file)) as Workflow] as const)

t.test('an action cannot change without a commit here, since it runs the commit that is named', async t => {
  const actions = workflows.flatMap(([, { jobs }]) => Object.values(jobs)).flatMap(({ uses, steps = [] }) => [uses, ...steps.map(step => step.uses)])
  const others = actions.filter(action => action !== undefined && !action.startsWith('./'))
  t.ok(others.length > 0)
  t.same(others.filter(action => !/@[0-9a-f]{40}$/.test(action!)), [])
})

t.test('workflows may read the repository, and only the publishing job may prove to npm who it is', async t => {
  for (const [file, { permissions, jobs }] of workflows) {
    t.same(permissions, { contents: 'read' }, file)
    for (const [name, job] of Object.entries(jobs)) {
      t.same(job.permissions, name === 'publish' ? { contents: 'read', 'id-token': 'write' } : undefined, `${file}: ${name}`)
    }
  }
})
