import type { Dataset } from './dataset.ts'
import { readJson } from './read-file.ts'

interface Penguin {
  readonly Species: string
  readonly Island: string
  readonly Sex: string | null
  readonly 'Beak Length (mm)': number | null
  readonly 'Flipper Length (mm)': number | null
  readonly 'Body Mass (g)': number | null
}

const SEXES: Record<string, string> = { MALE: 'Male', FEMALE: 'Female' }

export const penguins: Dataset = {
  title: 'Penguins of the Palmer archipelago',
  fields: {
    species: { title: 'Species', type: 'nominal', words: ['species', 'kind'] },
    island: { title: 'Island', type: 'nominal', words: ['island'] },
    sex: { title: 'Sex', type: 'nominal', words: ['sex'] },
    beak_length: { title: 'Beak length (mm)', type: 'quantitative', words: ['beak', 'beak length'] },
    flipper_length: { title: 'Flipper length (mm)', type: 'quantitative', words: ['flippers', 'flipper length'] },
    body_mass: { title: 'Body mass (g)', type: 'quantitative', words: ['heavier', 'body mass', 'mass', 'weight'] }
  },
  group: 'species',
  time: null,

  async rows (signal) {
    const measured = await readJson<Penguin>('penguins.json', signal)
    return measured.map(penguin => ({
      species: penguin.Species,
      island: penguin.Island,
      sex: SEXES[penguin.Sex ?? ''] ?? 'Unknown',
      beak_length: penguin['Beak Length (mm)'],
      flipper_length: penguin['Flipper Length (mm)'],
      body_mass: penguin['Body Mass (g)']
    }))
  }
}
