/** The outcome of an attempt, by the verb that settled it. */
export const attemptOutcomes = { complete: 'completed', fail: 'failed', release: 'released', expire: 'expired', cancel: 'cancelled' } as const
