import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `npm run build`: dist/ from nothing, what tsc compiles and what it does not see. */
const root = fileURLToPath(new URL('../../', import.meta.url));
const [source, dist] = [join(root, 'src'), join(root, 'dist')];

rmSync(dist, { recursive: true, force: true });
const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')];
const { status } = spawnSync(process.execPath, compiler, { cwd: root, stdio: 'inherit' });
if (status !== 0) {
  // Half a dist that starts is worse than none.
  rmSync(dist, { recursive: true, force: true });
  process.exit(status ?? 1);
}
// Migrations, the sample bank and the golden pairs of calibration are read at run time, beside the code that reads them.
for (const path of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
  if (/\.(sql|jsonl)$/.test(path)) cpSync(join(source, path), join(dist, path));
}
chmodSync(join(dist, 'main.js'), 0o755);
