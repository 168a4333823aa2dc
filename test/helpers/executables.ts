import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** The path of the first of these programs that the PATH has. */
export async function findExecutable (...names: string[]): Promise<string | null> {
  for (const name of names) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      const path = join(folder, name)
      try {
        await access(path, constants.X_OK)
        return path
      } catch {}
    }
  }
  return null
}
