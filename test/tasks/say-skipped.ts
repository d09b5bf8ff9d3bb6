import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

/** After `npm test`: what it did not run, and why. */
const files = readdirSync(new URL('../containers/', import.meta.url)).filter((name) => name.endsWith('.test.ts'));
const hasDocker = spawnSync('docker', ['version'], { stdio: 'ignore' }).status === 0;
const list = files.map((name) => `test/containers/${name}`).join(', ');
console.log(
  hasDocker
    ? `not part of this run, and Docker is there: npm run test:containers (${list})`
    : `skipped for want of Docker: ${list} (npm run test:containers)`,
);
