import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import t from 'tap'
import { peculiar, redisUrl } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

const url = await redisUrl()
t.test('on a client of ioredis 5, with settings of its own', t =>
  holdToConformance(t, openOn(t, new Redis(url), new Redis5(url, { ...peculiar, lazyConnect: true }) as unknown as Redis)))
