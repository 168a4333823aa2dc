import { test } from 'tap'
import { storeConformance } from '../../lib/store/conformance.ts'
import { memoryStore } from '../../lib/store/memory.ts'

for (const { name, run } of storeConformance) {
  test(name, async t => {
    await t.resolves(run(async ({ now }) => memoryStore({ now })))
  })
}
