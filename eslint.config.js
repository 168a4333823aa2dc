import neostandard from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    ignores: ['dist', 'node_modules', '.tap', 'lib/store/redis/lua.generated.ts', 'lib/dashboard/assets.generated.ts']
  }),
  {
    rules: {
      // A task keeps the names it has on the wire, all the way to the store.
      camelcase: 'off',
      // A type may share its name with the constant it is derived from; the compiler refuses real redeclarations.
      '@typescript-eslint/no-redeclare': 'off'
    }
  }
]
