import neostandard from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    ignores: ['dist', 'coverage', 'node_modules', '.tap', 'lib/store/redis/lua.generated.ts', 'lib/dashboard/assets.generated.ts']
  }),
  {
    rules: {
      // A task keeps the names it has on the wire, all the way to the store.
      camelcase: 'off',
      // A type may share its name with the constant it is derived from; the compiler refuses real redeclarations.
      '@typescript-eslint/no-redeclare': 'off'
    }
  },
  // oxlint looks for promises that nobody awaits, with types and in a tenth of the time (.oxlintrc.json). One that must not reject is marked
  // with `void`.
  { rules: { 'no-void': ['error', { allowAsStatement: true }] } }
]
