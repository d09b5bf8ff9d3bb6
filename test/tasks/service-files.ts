import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchdPlist } from '../../src/cli/service/launchd-plist.ts';
import { standardLaunchd, standardSystemd } from '../../src/cli/service/service-options.ts';
import { type ServiceFile, systemdUnits } from '../../src/cli/service/systemd-units.ts';

/*
 * Without an argument: systemd/ and launchd/, as they are committed. With a folder: units of both scopes below it, for a
 * Node that is there, since systemd-analyze looks for the program.
 */

function write(folder: string, files: readonly ServiceFile[]): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, content } of files) writeFileSync(join(folder, name), content);
}

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  write(join(root, 'systemd'), systemdUnits(standardSystemd));
  write(join(root, 'launchd'), [launchdPlist(standardLaunchd)]);
} else {
  const node = process.execPath;
  write(join(folder, 'system'), systemdUnits({ ...standardSystemd, node }));
  write(join(folder, 'elsewhere'), systemdUnits({ ...standardSystemd, node, dataDir: '/srv/100% of it/engramd' }));
  write(join(folder, 'user'), systemdUnits({ ...standardSystemd, node, scope: 'user', dataDir: '/home/ana/engramd' }));
}
