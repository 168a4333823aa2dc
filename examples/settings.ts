import { Redis } from 'ioredis'

const { env } = process

function wholeNumber (name: string, fallback: number): number {
  const value = env[name] ?? String(fallback)
  if (!/^\d{1,9}$/.test(value)) throw new Error(`${name} must be a whole number, got ${value}`)
  return Number(value)
}

/** The settings of all processes of the chat, from the environment. */
export const settings = {
  host: env['HOST'] ?? '127.0.0.1',
  port: wholeNumber('PORT', 3000),
  keyPrefix: env['KEY_PREFIX'] ?? 'async-charts',
  /** Where metrics/worker.ts serves its metrics. */
  metricsPort: wholeNumber('METRICS_PORT', 9464),
  concurrency: wholeNumber('CONCURRENCY', 2),
  /** ms after which the charts of a dead worker run again. */
  leaseDuration: wholeNumber('LEASE_DURATION', 10_000),
  /** Minimum ms for each of the four steps of a chart, so that you can watch. */
  pace: wholeNumber('PACE', 800),
  logLevel: env['LOG_LEVEL']
}

/** `REDIS_URL`, else `REDIS_HOST`, `REDIS_PORT`, `REDIS_DB` and `REDIS_PASSWORD`. */
export function connectRedis (onError: (error: Error) => void): Redis {
  const redis = env['REDIS_URL']
    ? new Redis(env['REDIS_URL'])
    : new Redis({
      host: env['REDIS_HOST'] ?? 'localhost',
      port: wholeNumber('REDIS_PORT', 6379),
      db: wholeNumber('REDIS_DB', 0),
      ...(env['REDIS_PASSWORD'] ? { password: env['REDIS_PASSWORD'] } : {})
    })
  return redis.on('error', onError)
}
