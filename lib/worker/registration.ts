import { hostname } from 'node:os'
import type { WorkerRegistry } from '../service/worker-registry.ts'
import { VERSION } from '../version.ts'

interface RegistrationOptions {
  readonly workers: WorkerRegistry
  readonly worker_id: string
  readonly concurrency: number
}

/** The entry of a worker in the store, which operators see. */
export class Registration {
  readonly #options: RegistrationOptions
  readonly #started_at: string

  constructor (options: RegistrationOptions) {
    this.#options = options
    this.#started_at = new Date(options.workers.now).toISOString()
    this.#register('running')
  }

  drain (): void {
    this.#register('draining')
  }

  async remove (): Promise<void> {
    const { workers, worker_id } = this.#options
    await workers.remove(worker_id)
  }

  #register (state: 'running' | 'draining'): void {
    const { workers, worker_id, concurrency } = this.#options
    void workers.register({ worker_id, host: hostname(), pid: process.pid, version: VERSION, concurrency, state, started_at: this.#started_at })
  }
}
