import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { root } from '../helpers/root.ts'

export interface Test {
  teardown (ended: () => unknown): unknown
}

/** What a process prints when it is ready. */
const READY = {
  demo: /is at (http\S+?)[;\s]/,
  server: /is at (http\S+?)[;\s]/,
  worker: /(Making charts)/,
  'metrics/server': /is at (http\S+?)[;\s]/,
  'metrics/worker': /(Making charts)/
}

/** One of the examples as a process of its own, as it was built; ended with the test. */
export async function startExample (t: Test, name: keyof typeof READY, env: Record<string, string>): Promise<Example> {
  const path = fileURLToPath(new URL(`dist/examples/${name}.js`, root))
  const child = spawn(process.execPath, [...process.execArgv, path], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  // Its pipe closes whatever happens to this process: no example outlives its test.
  const guard = spawn('sh', ['-c', 'trap "" INT TERM HUP; read -r _; kill -9 "$0"', String(child.pid)], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.on('exit', () => guard.kill('SIGKILL'))
  t.teardown(() => child.kill('SIGKILL'))
  const example = new Example(child)
  await example.printed(READY[name])
  return example
}

/** What the example prints, and how it ends. */
export class Example {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown[]>
  #output = ''

  constructor (child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'exit')
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', text => { this.#output += text })
    }
  }

  /** The address that it has printed. */
  get address (): string {
    return /http:\/\/[\d.:]+/.exec(this.#output)![0]
  }

  get output (): string {
    return this.#output
  }

  async printed (text: RegExp): Promise<void> {
    const gone = this.#ended.then(() => { throw new Error(`ended before it printed ${text}:\n${this.#output}`) })
    while (!text.test(this.#output)) await Promise.race([once(this.#child.stdout!, 'data'), gone])
  }

  /** The exit code, or the signal that it died of. */
  async end (signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<unknown> {
    this.#child.kill(signal)
    const [code, died] = await this.#ended
    return code ?? died
  }
}
