import { Pool, type PoolConfig } from 'pg'

/** A pool whose calls end in time: the queue waits 10 seconds for each, and its users for as long. */
export function chartPool (config: PoolConfig, onError: (error: Error) => void): Pool {
  const pool = new Pool({
    max: 10,
    // ms for a place in the pool or a new connection, then for the answer. The server is told first, so that it ends the query itself.
    connectionTimeoutMillis: 4_000,
    statement_timeout: 4_000,
    query_timeout: 5_000,
    ...config
  })
  // Of connections that nobody uses: without a listener, the end of one would end the process.
  return pool.on('error', onError)
}
