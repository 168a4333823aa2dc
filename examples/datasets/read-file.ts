import { readFile } from 'node:fs/promises'

/** The package's own API fetches from the network, and its exports hide the files: they lie beside its entry. */
const FOLDER = new URL('../data/', import.meta.resolve('vega-datasets'))

export async function readJson<T> (file: string, signal: AbortSignal): Promise<T[]> {
  return JSON.parse(await readFile(new URL(file, FOLDER), { encoding: 'utf8', signal }))
}

/** For files without quotes, which those used here are. */
export async function readCsv (file: string, signal: AbortSignal): Promise<Record<string, string>[]> {
  const text = await readFile(new URL(file, FOLDER), { encoding: 'utf8', signal })
  const [header = [], ...lines] = text.trimEnd().split(/\r?\n/).map(line => line.split(','))
  return lines.map(values => Object.fromEntries(header.map((name, i) => [name, values[i] ?? ''])))
}
