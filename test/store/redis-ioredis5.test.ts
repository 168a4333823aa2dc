import type { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import t from 'tap'
import { redisUrl } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

t.test('with ioredis 5', async t => holdToConformance(t, openOn(t, new Redis5(await redisUrl()) as unknown as Redis)))
