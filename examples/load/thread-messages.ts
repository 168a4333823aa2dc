/** Messages between the threads of the load test and their process. */
export const CHANNEL = 'load-test'
export type ToThread = { readonly kill: string }
export type FromThread = { readonly runs: string } | { readonly ended: string }
