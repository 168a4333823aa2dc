import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findExecutable } from './executables.ts'

/** The browser of this machine, or null: browser tests are skipped then. */
export async function chromiumPath (): Promise<string | null> {
  if (process.env['CHROMIUM_PATH']) return process.env['CHROMIUM_PATH']
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    const path = await findExecutable(name)
    // Ubuntu has one that does nothing but ask for a snap.
    if (path !== null && await promisify(execFile)(path, ['--version']).then(() => true, () => false)) return path
  }
  return null
}
