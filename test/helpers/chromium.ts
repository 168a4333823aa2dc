import { findExecutable } from './executables.ts'

/** The browser of this machine, or null: browser tests are skipped then. */
export async function chromiumPath (): Promise<string | null> {
  return process.env['CHROMIUM_PATH'] || findExecutable('chromium', 'chromium-browser', 'google-chrome')
}
