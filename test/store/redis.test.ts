import { Redis } from 'ioredis'
import t from 'tap'
import { redisUrl } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

t.test('on Redis', async t => holdToConformance(t, openOn(t, new Redis(await redisUrl()))))
