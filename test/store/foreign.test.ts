import t from 'tap'
import { foreignStore } from '../helpers/foreign-store.ts'
import { holdToConformance } from '../helpers/stores.ts'

t.test('a store that differs wherever the port leaves a choice', async t => holdToConformance(t, async ({ now }) => foreignStore({ now })))
