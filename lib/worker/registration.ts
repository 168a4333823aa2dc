import { hostname } from 'node:os'
import type { QueueService } from '../service/queue-service.ts'
import { VERSION } from '../version.ts'

interface RegistrationOptions {
  readonly service: QueueService
  readonly worker_id: string
  readonly concurrency: number
}

/** What operators see of a worker. */
export class Registration {
  readonly #options: RegistrationOptions
  readonly #started_at: string

  constructor (options: RegistrationOptions) {
    this.#options = options
    this.#started_at = new Date(options.service.workers.now).toISOString()
    this.#say('running')
  }

  drain (): void {
    this.#say('draining')
  }

  /** Nothing runs here any more. */
  async end (): Promise<void> {
    const { service, worker_id } = this.#options
    await service.workers.remove(worker_id)
  }

  #say (state: 'running' | 'draining'): void {
    const { service, worker_id, concurrency } = this.#options
    void service.workers.register({ worker_id, host: hostname(), pid: process.pid, version: VERSION, concurrency, state, started_at: this.#started_at })
  }
}
