/** The folder of the package, wherever the tests were compiled to. */
export const root = new URL('.', import.meta.resolve('fastify-async-charts/package.json'))
