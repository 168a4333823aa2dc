import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { inTime } from './gate.ts'
import type { RunWorkerOptions } from '../../lib/index.ts'

/** What a worker process tells; `at` is in ms of the clock that all processes of a machine share. */
export type WorkerEvent =
  | { readonly event: 'ready', readonly listeners: number }
  | { readonly event: 'started', readonly task_id: string, readonly attempt: number, readonly at: number }
  | { readonly event: 'aborted', readonly task_id: string, readonly attempt: number, readonly code: string, readonly at: number }
  | { readonly event: 'paid', readonly task_id: string, readonly attempt: number }
  | { readonly event: 'remembered', readonly task_id: string, readonly paid: number }
  | { readonly event: 'finished', readonly task_id: string, readonly status: string }
  | { readonly event: 'warned', readonly details: object, readonly message: string }
  | { readonly event: 'draining' }
  /** The drain has taken longer than a worker promises. */
  | { readonly event: 'overdue' }
  | { readonly event: 'done' }
type EventOf<E extends WorkerEvent['event']> = Extract<WorkerEvent, { event: E }>

export interface WorkerCommand {
  readonly command: 'finish' | 'stop'
  readonly task_id?: string
}

export interface WorkerProcessOptions extends Partial<Pick<RunWorkerOptions,
  'keyPrefix' | 'concurrency' | 'leaseDuration' | 'attemptTimeout' | 'shutdownTimeout' | 'handleSignals'>> {
  readonly url: string
}

interface Test { teardown (ended: () => unknown): unknown }

/** What CommonJS modules find, for those of them that are part of an ES module. */
const BANNER = `import { createRequire as createRequire_ } from 'node:module'
const require = createRequire_(import.meta.url)
const __dirname = ''
const __filename = ''`

/** The worker with all that it imports in one file: it starts in half the time. */
async function bundle (file: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'charts-worker-'))
  process.on('exit', () => rmSync(folder, { recursive: true }))
  const outfile = join(folder, 'worker.mjs')
  await build({ entryPoints: [file], outfile, bundle: true, platform: 'node', format: 'esm', banner: { js: BANNER }, external: ['@napi-rs/nice'], logLevel: 'error' })
  return outfile
}

const compiled = fileURLToPath(new URL('../fixtures/worker.js', import.meta.url))
// Coverage is counted by file.
const fixture = process.env['NODE_V8_COVERAGE'] ? compiled : await bundle(compiled)

/** A worker in a process of its own; ready when this resolves, gone with the test. */
export async function startWorkerProcess (t: Test, { url, ...options }: WorkerProcessOptions): Promise<WorkerProcess> {
  const child = fork(fixture, {
    env: { PATH: process.env['PATH'], REDIS_URL: url, WORKER_OPTIONS: JSON.stringify(options) }
  })
  const worker = new WorkerProcess(child)
  t.teardown(() => worker.kill())
  await worker.next('ready')
  return worker
}

export class WorkerProcess {
  readonly events: WorkerEvent[] = []
  /** How it ended: its exit code, or the signal. */
  readonly exited: Promise<number | NodeJS.Signals>
  readonly #child: ChildProcess
  readonly #wake = new Set<() => void>()

  constructor (child: ChildProcess) {
    this.#child = child
    this.exited = once(child, 'exit').then(([code, signal]) => signal ?? code)
    const wake = () => { for (const look of this.#wake) look() }
    child.on('message', (event: WorkerEvent) => {
      this.events.push(event)
      wake()
    })
    this.exited.then(wake)
  }

  get pid (): number {
    return this.#child.pid!
  }

  get running (): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  all<E extends WorkerEvent['event']> (name: E): Array<EventOf<E>> {
    return this.events.filter((event): event is EventOf<E> => event.event === name)
  }

  /** The first such event that has come or comes; fails when the process ends without it, or after a minute. */
  async next<E extends WorkerEvent['event']> (name: E, wanted: (event: EventOf<E>) => boolean = () => true): Promise<EventOf<E>> {
    return inTime(this.#next(name, wanted), 60_000, `${name} from the worker`)
  }

  async #next<E extends WorkerEvent['event']> (name: E, wanted: (event: EventOf<E>) => boolean): Promise<EventOf<E>> {
    for (;;) {
      const found = this.all(name).find(wanted)
      if (found) return found
      if (!this.running) throw new Error(`The worker ended without ${name}`)
      await new Promise<void>(resolve => {
        const look = () => {
          this.#wake.delete(look)
          resolve()
        }
        this.#wake.add(look)
      })
    }
  }

  signal (name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  send (command: WorkerCommand): void {
    this.#child.send(command)
  }

  async kill (): Promise<void> {
    if (this.running) this.signal('SIGKILL')
    await this.exited
  }
}
