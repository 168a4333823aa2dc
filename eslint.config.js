import neostandard, { plugins } from 'neostandard'

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
  // These rules need types, which cost as much as all others together: for what runs at a host, and not for the tests. A promise that nobody
  // awaits is marked with `void`: it must not reject.
  {
    files: ['lib/**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    languageOptions: { parserOptions: { project: 'tsconfig.build.json' } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': 'error',
      'no-void': ['error', { allowAsStatement: true }]
    }
  }
]
