import type { FastifyInstance } from 'fastify'

/** Listens until SIGINT or SIGTERM; a second one ends the process at once. Resolves to the address. */
export async function serve (app: FastifyInstance, place: { host: string, port: number }): Promise<string> {
  const address = await app.listen(place)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
  return address
}
