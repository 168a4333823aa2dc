import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { test } from 'tap'
import { root } from '../helpers/root.ts'

const lib = new URL('lib/', root)
const entities = ['task', 'errors', 'generator', 'monitoring-rules', 'task-filter']

/**
 * What the modules of each layer may import: a file or a folder of ours, or a package; after `type`, only its types. A layer is a file or a
 * folder. The first layer that a file matches applies.
 */
const layers: readonly (readonly [layer: string, allowed: readonly string[]])[] = [
  ['task', ['@sinclair/typebox']],
  ['errors', ['task', '@fastify/error']],
  ['generator', ['task', 'errors']],
  ['monitoring-rules', []],
  ['task-filter', ['task']],
  ['silent-logger', entities],
  ['logging', entities],
  ['async', []],
  ['json', []],
  ['version', []],
  ['validator', ['json', 'ajv', 'ajv/dist/2020.js', 'ajv-formats']],
  ['params-schema', ['validator']],
  ['options/', [...entities, 'params-schema', 'options/', '@sinclair/typebox', 'ajv', 'type fastify']],
  ['define-charts', ['type generator', 'type service/', 'type task']],
  ['store/redis/', [...entities, 'store/redis/', 'store/new-task', 'store/attempt-outcomes', 'store/list-cursor', 'store/rules', 'type store/task-store', 'type ioredis']],
  ['store/conformance', ['store/conformance/', 'type store/task-store']],
  ['store/conformance/', [...entities, 'store/conformance/', 'type store/task-store']],
  ['store/memory/', [...entities, 'store/memory/', 'store/new-task', 'store/attempt-outcomes', 'store/list-cursor', 'store/rules', 'type store/task-store']],
  ['store/port/', ['type task', 'type task-filter', 'type store/port/']],
  ['store/rules', ['task', 'monitoring-rules']],
  ['store/', [...entities, 'store/memory/', 'store/rules', 'type store/port/', 'type store/task-store']],
  ['telemetry/', [...entities, 'async', 'telemetry/', 'type store/task-store']],
  // On top of the channels: nothing of the package imports it.
  ['otel/', ['otel/', 'errors', 'version', 'telemetry/channels', 'type telemetry/', 'type store/task-store', 'type task', '@opentelemetry/api']],
  ['service/', [...entities, 'async', 'json', 'logging', 'validator', 'service/', 'telemetry/queue-telemetry', 'type telemetry/', 'type store/task-store', 'ajv']],
  ['http/', [...entities, 'async', 'validator', 'service/', 'http/', 'type chart-queue-service', 'type telemetry/', '@sinclair/typebox', 'type fastify', '@fastify/websocket']],
  ['dashboard/index', ['errors', 'options/', 'http/access', 'dashboard/', 'fastify-plugin', 'type fastify']],
  ['dashboard/', ['task', 'errors', 'service/', 'http/', 'dashboard/', 'type chart-queue-service', 'type store/task-store', 'type fastify']],
  // Runs in browsers: of the server it knows types only.
  ['client/', ['client/', 'eventsource-parser', 'type task', 'type service/listed-charts']],
  ['worker/run-worker', [...entities, 'options/', 'type define-charts', 'chart-queue-service', 'worker/', 'type service/', 'type telemetry/']],
  ['worker/thread-pool', [...entities, 'service/', 'worker/', 'piscina', 'type piscina']],
  ['worker/', [...entities, 'async', 'logging', 'version', 'service/', 'worker/', 'telemetry/channels', 'type telemetry/', 'type store/task-store']],
  // The composition roots: the only modules that connect layers.
  ['chart-queue-service', [...entities, 'options/', 'silent-logger', 'service/', 'store/', 'type telemetry/', 'type ioredis']],
  ['plugin', [...entities, 'options/', 'silent-logger', 'chart-queue-service', 'service/', 'http/', 'worker/consumer', 'worker/open-generator', '@fastify/websocket', 'fastify-plugin', 'type fastify']],
  ['index', [...entities, 'type options/', 'define-charts', 'plugin', 'chart-queue-service', 'worker/run-worker', 'store/memory', 'type http/', 'type service/', 'type telemetry/', 'type store/task-store']]
]

interface Import { readonly name: string, readonly onlyTypes: boolean }

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const modules = new Map(files.map(file => [file.slice(0, -'.ts'.length), importsOf(file)]))

function importsOf (file: string): Import[] {
  const source = readFileSync(new URL(file, lib), 'utf8')
  return [...source.matchAll(/^(?:import|export)( type)?\b[^'"=]*?\bfrom '(.+)'|^import '(.+)'|\bimport\('(.+)'\)/gm)]
    .map(([, type, from, bare, dynamic]) => ({ onlyTypes: type !== undefined, name: from ?? bare ?? dynamic! }))
    .filter(({ name }) => !name.startsWith('node:'))
    .map(({ name, onlyTypes }) => ({
      onlyTypes,
      name: name.startsWith('.') ? posix.join(posix.dirname(file), name).replace(/\.[jt]s$/, '') : name
    }))
}

const fits = (name: string, place: string) => place.endsWith('/') ? name.startsWith(place) : name === place

test('every file imports only what its layer may', async (t) => {
  for (const [file, imports] of modules) {
    const layer = layers.find(([layer]) => fits(file, layer))
    t.ok(layer, `${file} has a layer`)
    for (const { name, onlyTypes } of imports) {
      const allowed = layer?.[1].some(place => fits(name, place) || (onlyTypes && fits(`type ${name}`, place)))
      t.ok(allowed, `${file} imports ${onlyTypes ? 'types of ' : ''}${name}`)
    }
  }
})

test('no imports form a cycle', async (t) => {
  const cycles: string[] = []
  const done = new Set<string>()
  function visit (file: string, path: readonly string[]) {
    if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file) || path.includes(file)) return
    for (const { name } of modules.get(file) ?? []) visit(name, [...path, file])
    done.add(file)
  }
  for (const file of modules.keys()) visit(file, [])
  t.same(cycles, [])
})
