import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'

const { env } = process

export const settings = {
  port: Number(env.PORT ?? 3000),
  /** Charts that one worker makes at a time. */
  concurrency: Number(env.CONCURRENCY ?? 4),
  /** ms that running charts get when a worker stops. The orchestrator must wait for two seconds more than that. */
  shutdownTimeout: Number(env.SHUTDOWN_TIMEOUT ?? 25_000),
  /** What an autoscaler says to be told how much there is to do; nobody is told without it. */
  scaleToken: env.SCALE_TOKEN,
  trustProxy: env.TRUST_PROXY === 'true'
}

/** `REDIS_URL`, with user and password in it; `rediss:` for TLS, and `REDIS_CA_FILE` where the CA is not a public one. */
export function connectRedis (logger) {
  const tls = env.REDIS_CA_FILE ? { tls: { ca: readFileSync(env.REDIS_CA_FILE) } } : {}
  const redis = new Redis(env.REDIS_URL ?? 'redis://127.0.0.1:6379', tls)
  return redis.on('error', error => logger.warn({ err: error }, 'Redis'))
}
