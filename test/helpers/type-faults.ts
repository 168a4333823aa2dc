import { resolve } from 'node:path'
import ts from 'typescript'

/** What strict TypeScript finds in files, each fault with its place. `folder` is where they are, or where their types are installed. */
export function typeFaults (folder: string, files: readonly string[], options: ts.CompilerOptions = {}): string[] {
  const program = ts.createProgram(files.map(file => resolve(folder, file)), {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [resolve(folder, 'node_modules/@types')],
    ...options
  })
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const at = file && start !== undefined ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1} ` : ''
    return at + ts.flattenDiagnosticMessageText(messageText, '\n')
  })
}
