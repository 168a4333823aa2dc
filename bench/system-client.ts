import { fork } from 'node:child_process'
import type { Calls } from './system-process.ts'
import type { SystemName } from './systems/index.ts'

const PROGRAM = new URL('system-process.js', import.meta.url)
/** ms that one call may take: a system that has lost a task would be waited for for ever. */
const CALL_TIMEOUT_MS = 300_000

/** A system in a process of its own, one call after the other. */
export interface SystemClient {
  call <Name extends keyof Calls> (name: Name, ...argument: Parameters<Calls[Name]>): ReturnType<Calls[Name]>
  end (): void
}

export function startSystem (system: SystemName, url: string): SystemClient {
  const child = fork(PROGRAM, [system, url], { execArgv: ['--expose-gc'] })
  const call = (name: string, argument?: unknown) => new Promise<unknown>((resolve, reject) => {
    const fail = (what: string) => {
      settle()
      reject(new Error(`${system}, ${name}: ${what}`))
    }
    const onExit = () => fail('its process has ended')
    const onMessage = ({ result, error }: { result?: unknown, error?: string }) => {
      if (error !== undefined) return fail(error)
      settle()
      resolve(result)
    }
    const timer = setTimeout(() => fail(`not done within ${CALL_TIMEOUT_MS / 1_000} s`), CALL_TIMEOUT_MS)
    const settle = () => {
      clearTimeout(timer)
      child.off('exit', onExit).off('message', onMessage)
    }
    child.on('exit', onExit).on('message', onMessage)
    child.send([name, argument])
  })
  return {
    call: call as SystemClient['call'],
    end () {
      // What is still open is not waited for.
      child.kill('SIGKILL')
    }
  }
}
