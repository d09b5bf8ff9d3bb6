#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  console.error(`engramd: needs Node 22.12 or newer, this is ${process.versions.node}`);
  process.exit(2);
}
// Not a static import: what it brings along does not load on an older Node, and the message above would never be seen.
const { runCli } = await import('./cli/run-cli.ts');
process.exit(await runCli(process.argv));
