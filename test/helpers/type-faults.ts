import { join } from 'node:path'
import ts from 'typescript'

/** What strict TypeScript finds in files of a folder, each fault with its place. */
export function typeFaults (folder: string, files: readonly string[], options: ts.CompilerOptions = {}): string[] {
  const program = ts.createProgram(files.map(file => join(folder, file)), {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')],
    ...options
  })
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const at = file && start !== undefined ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1} ` : ''
    return at + ts.flattenDiagnosticMessageText(messageText, '\n')
  })
}
