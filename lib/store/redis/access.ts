import { scripts } from './scripts.ts'

/** Commands about channels. */
const ON_CHANNELS = ['publish', 'subscribe']
/** Commands about neither keys nor channels; to unsubscribe is free for all channels. */
const ON_NOTHING = ['eval', 'evalsha', 'info', 'ping', 'scan', 'time', 'unsubscribe']
/** Commands about keys that are sent beside the scripts, or that a script can do without. */
const SENT = ['blpop', 'get', 'hscan']

const commandsOnKeys = () => {
  const called = Object.values(scripts).flatMap(({ source }) => [...source.matchAll(/\bcall\('([A-Z]+)'/g)].map(([, name]) => name!.toLowerCase()))
  return [...new Set([...SENT, ...called])].filter(name => !ON_CHANNELS.includes(name) && !ON_NOTHING.includes(name)).sort()
}

/** Every command that a Redis user needs for the queue, in lower case and sorted. */
export function neededCommands (): string[] {
  return [...commandsOnKeys(), ...ON_CHANNELS, ...ON_NOTHING].sort()
}

/** Commands that take the number of their keys first. */
const COUNTS_KEYS = ['zinter']

/** The arguments of `access.lua`. */
export function accessArguments (prefix: string): string[] {
  const about = (what: string) => (command: string) => [command, COUNTS_KEYS.includes(command) ? '1' : what, what]
  const any = `${prefix}none`
  return [...commandsOnKeys().flatMap(about(any)), ...ON_CHANNELS.flatMap(about(any)), ...ON_NOTHING.flatMap(about('0'))]
}

/** The rules of `ACL SETUSER` that grant what is refused: where that is all about keys, or about channels, these are. */
export function missingRules (prefix: string, refused: readonly string[]): string[] {
  const rulesOf = (commands: readonly string[], all: string | null) => {
    const some = commands.filter(command => refused.includes(command))
    return all !== null && some.length === commands.length ? [all] : some.map(command => `+${command}`)
  }
  return [...rulesOf(commandsOnKeys(), `~${prefix}*`), ...rulesOf(ON_CHANNELS, `&${prefix}*`), ...rulesOf(ON_NOTHING, null)]
}
