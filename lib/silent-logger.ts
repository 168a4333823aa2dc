import type { Logger } from './generator.ts'

/** Where the host gave no logger. */
export const silentLogger: Logger = {
  debug () {},
  info () {},
  warn () {},
  error () {},
  isLevelEnabled: () => false,
  child: () => silentLogger
}
