import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root } from './root.ts'

// The native compiler: a test waits for little else.
const tsc = fileURLToPath(new URL('node_modules/typescript70/bin/tsc', root))

/** What strict TypeScript finds in files, each fault with its place. `folder` is where they are, or where their types are installed. */
export async function typeFaults (folder: string, files: readonly string[], options: Readonly<Record<string, unknown>> = {}): Promise<string[]> {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'es2024.string', 'dom', 'dom.iterable'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')],
    ...options
  }
  const config = join(folder, 'tsconfig.faults.json')
  await writeFile(config, JSON.stringify({ compilerOptions, files }))
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', config, '--pretty', 'false', '--checkers', '1'], { cwd: folder }).catch(error => error)
  return stdout.split('\n').filter((line: string) => line !== '')
}
