/** What separates words and steps, as in `to_word` of records.lua. */
// oxlint-disable-next-line no-control-regex -- control characters are meant
const SEPARATOR = /[\x00-\x20\x7f%,;]/
const SEPARATORS = new RegExp(SEPARATOR, 'g')
const escape = (char: string): string => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`

/** Free text as the scripts keep it among words. */
export const toWord = (text: string): string => SEPARATOR.test(text) ? text.replace(SEPARATORS, escape) : text
export const fromWord = (word: string): string => word.includes('%') ? word.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))) : word
