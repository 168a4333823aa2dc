import type { FastifyInstance } from 'fastify'

/** ms that open requests have to finish at shutdown. */
const GRACE_MS = 1_000

/** Listens until SIGINT or SIGTERM; a second one ends the process at once. Resolves to the address. */
export async function serve (app: FastifyInstance, { host, port }: { host: string, port: number }): Promise<string> {
  const address = await app.listen({ host, port }).catch(error => {
    if (error.code !== 'EADDRINUSE') throw error
    console.error(`Something else listens on port ${port} already: PORT=${port + 1} uses another one`)
    process.exit(1)
  })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => close(app))
  return address
}

async function close (app: FastifyInstance): Promise<void> {
  // Browsers open spare connections, and Node would wait for those too.
  const cut = setTimeout(() => app.server.closeAllConnections(), GRACE_MS)
  await app.close()
  clearTimeout(cut)
}
