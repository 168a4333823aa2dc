/** The version of this package: a test holds it to package.json, which bundlers lose. */
export const VERSION = '0.1.0'
