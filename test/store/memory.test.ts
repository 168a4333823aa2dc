import t from 'tap'
import { memoryStore } from '../../lib/store/memory.ts'
import { holdToConformance } from '../helpers/stores.ts'

t.test('in memory', async t => holdToConformance(t, async ({ now }) => memoryStore({ now })))
