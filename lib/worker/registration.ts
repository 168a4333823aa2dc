import { hostname } from 'node:os'
import type { QueueService } from '../service/queue-service.ts'
import { VERSION } from '../version.ts'

interface RegistrationOptions {
  readonly service: QueueService
  readonly worker_id: string
  readonly concurrency: number
}

/** The entry of a worker in the store, which operators see. */
export class Registration {
  readonly #options: RegistrationOptions
  readonly #started_at: string

  constructor (options: RegistrationOptions) {
    this.#options = options
    this.#started_at = new Date(options.service.workers.now).toISOString()
    this.#register('running')
  }

  drain (): void {
    this.#register('draining')
  }

  async remove (): Promise<void> {
    const { service, worker_id } = this.#options
    await service.workers.remove(worker_id)
  }

  #register (state: 'running' | 'draining'): void {
    const { service, worker_id, concurrency } = this.#options
    void service.workers.register({ worker_id, host: hostname(), pid: process.pid, version: VERSION, concurrency, state, started_at: this.#started_at })
  }
}
