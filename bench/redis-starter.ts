import { startRedis, type RedisServer } from '../test/helpers/redis.ts'

export type StartRedis = () => Promise<Pick<RedisServer, 'url' | 'stop'>>

/** Starts servers without persistence, at the first port and behind it, or null: at free ports. */
export function redisStarter (firstPort: number | null): StartRedis {
  const config = ['--appendonly', 'no']
  if (firstPort === null) return () => startRedis({ config })
  const used = new Set<number>()
  return async () => {
    let port = firstPort
    while (used.has(port)) port++
    used.add(port)
    const server = await startRedis({ config, port })
    return {
      url: server.url,
      async stop () {
        await server.stop()
        used.delete(port)
      }
    }
  }
}
