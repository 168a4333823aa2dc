import { chartBodies } from './chart-bodies.ts'
import { NamedSchemas } from './named-schemas.ts'
import { operatorBodies } from './operator-bodies.ts'

/** The bodies of all responses, and the groups of the routes, for the host's OpenAPI document. */
export const bodySchemas = new NamedSchemas({ ...chartBodies, ...operatorBodies }, [
  { name: 'charts', description: 'Charts that are generated in the background' },
  { name: 'charts-admin', description: 'The chart queue, for callers whom `authorize` allows to `monitor`' }
])
