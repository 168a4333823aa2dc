import type { Dataset, Field } from '../datasets/dataset.ts'
import { refusals } from './refusals.ts'

/** @throws UNKNOWN_FIELD */
export function fieldOf (dataset: Dataset, name: string): Field {
  // A planner may name anything, `constructor` too.
  if (!Object.hasOwn(dataset.fields, name)) throw refusals.unknownField(name, dataset)
  return dataset.fields[name]!
}

/** The name of the field that a user means by these words. @throws UNKNOWN_FIELD */
export function nameOfField (dataset: Dataset, called: string): string {
  const wanted = called.trim().toLowerCase().replaceAll('_', ' ')
  const found = Object.entries(dataset.fields).find(([name, { words }]) =>
    [name.replaceAll('_', ' '), ...words].some(word => word === wanted || `${word}s` === wanted))
  if (!found) throw refusals.unknownField(called, dataset)
  return found[0]
}

/** What the field is called in a sentence: its title without the unit. */
export function subjectOf ({ title }: Field): string {
  return title.replace(/ \(.*\)$/, '')
}

/** Where several rows can share one place on the axis: not on a scale of measurements. */
export function isDiscrete ({ type }: Field): boolean {
  return type !== 'quantitative'
}
