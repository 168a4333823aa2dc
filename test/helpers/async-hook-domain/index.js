// In place of the package of this name (overrides in package.json), with which tap follows every promise of a test file, to tell in which test
// an uncaught error was thrown: a tenth to a quarter of the CPU of all tests. Without it, such an error ends the file, with its stack.
export class Domain {
  destroy () {}
}
