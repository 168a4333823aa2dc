// Checks the packed package as those see it who install it, with a tarball of its own: the tools would each build it again.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'charts-package-'))
try {
  const run = (command, args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const tarball = join(folder, run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]).trim())
  const inherit = { stdio: 'inherit' }
  execFileSync('publint', ['run', tarball, '--strict'], inherit)
  // require() of an ES module works from Node 20.19 on, which attw does not know.
  execFileSync('attw', [tarball, '--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm'], inherit)
} catch (error) {
  // They have said themselves what is wrong.
  if (typeof error.status !== 'number') throw error
  process.exitCode = error.status
} finally {
  rmSync(folder, { recursive: true })
}
