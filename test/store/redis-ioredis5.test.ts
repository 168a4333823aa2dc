import type { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { test } from 'tap'
import { storeConformance } from '../../lib/store/conformance.ts'
import { redisUrl } from '../helpers/redis.ts'
import { openOn } from '../helpers/stores.ts'

const url = await redisUrl()

for (const { name, run } of storeConformance) {
  test(name, async t => {
    await t.resolves(run(openOn(t, new Redis5(url) as unknown as Redis)))
  })
}
