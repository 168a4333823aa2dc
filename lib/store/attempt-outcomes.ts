/** What became of a try, by how its lease was closed. */
export const attemptOutcomes = { complete: 'completed', fail: 'failed', release: 'released', expire: 'expired', cancel: 'cancelled' } as const
