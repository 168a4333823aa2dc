import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import type { Dataset } from '../datasets/dataset.ts'
import { welcome } from './chat-user.ts'
import { messages } from './messages.ts'

/** From the root of the package: the page is not compiled, and this file also runs from where it is compiled to. */
const PUBLIC = new URL('./examples/public/', import.meta.resolve('fastify-async-charts/package.json'))

/** What the import map of the page names: the client as it is in the package, and the parser that it imports. */
const MODULES = { client: import.meta.resolve('fastify-async-charts/client'), 'eventsource-parser': import.meta.resolve('eventsource-parser') }

/** An import map is a script in the page: a policy lets it in by its hash. */
const [, importMap] = /<script type="importmap">([^]*?)<\/script>/.exec(readFileSync(new URL('index.html', PUBLIC), 'utf8'))!
const importMapHash = createHash('sha256').update(importMap!).digest('base64')

const HEADERS = {
  'cache-control': 'private, no-cache',
  // Charts are shown as images from blobs; nothing is loaded from elsewhere, and no markup runs a script.
  'content-security-policy': `default-src 'self'; script-src 'self' 'sha256-${importMapHash}'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff'
}

/** The page, and the messages that it shows. */
export async function chatPage (fastify: FastifyInstance): Promise<void> {
  fastify.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS)
    welcome(request, reply)
  })
  await fastify.register(fastifyStatic, { root: PUBLIC, cacheControl: false })
  for (const [name, url] of Object.entries(MODULES)) {
    await fastify.register(fastifyStatic, { root: new URL('.', url), prefix: `/${name}/`, decorateReply: false, cacheControl: false })
  }
  fastify.get('/messages', async () => messages.map(({ dataset, ...shown }) => ({ ...shown, dataset: dataset.title, columns: titlesOf(dataset) })))
}

/** The column titles of a table, with units. */
function titlesOf ({ fields }: Dataset): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, { title }]) => [name, title]))
}
