/** Of the font size: what a letter of a common sans-serif takes, rather too much than too little. */
const LETTER = 0.58
const BOLD_LETTER = 0.65

/** How wide a text will be, in px. Where it is drawn nobody has the fonts that it will be shown in. */
export function textWidth (text: string, fontSize: number, isBold = false): number {
  return text.length * fontSize * (isBold ? BOLD_LETTER : LETTER)
}

/** In as few lines as do not exceed `width`; a word that does has a line of its own. */
export function inLines (text: string, width: number, fontSize: number, isBold = false): string {
  return text.split(' ').reduce((lines, word) => {
    const line = lines.slice(lines.lastIndexOf('\n') + 1)
    return `${lines}${textWidth(`${line} ${word}`, fontSize, isBold) <= width ? ' ' : '\n'}${word}`
  })
}
