/** Free text as the scripts keep it among words: without spaces, and what separates words and steps. */
export const toWord = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- as `to_word` of records.lua
  text.replace(/[\x00-\x20\x7f%,;]/g, char => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`)
export const fromWord = (word: string): string => word.includes('%') ? word.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))) : word
