import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import { findProcess } from '../../src/db/embedded/process-identity.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

const memory = '/dev/shm';
const neededBytes = 2 ** 30;

/**
 * A folder for a test's data directory. In memory where there is room: cloning a database took 40 ms there and 700 ms on
 * a busy disk, fsync off in both cases.
 */
export function createScratchFolder(): string {
  const folder = mkdtempSync(join(isMemoryFit() ? memory : tmpdir(), `engramd-test-${process.pid}-`));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
  return folder;
}

export function removeScratchFolder(folder: string): void {
  // An initdb whose parent was killed may still be writing.
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** Stops the servers of test runs that were killed, and removes their folders: a server outlives its supervisor by design. */
export async function clearLeftovers(): Promise<void> {
  for (const parent of new Set([memory, tmpdir()])) {
    for (const name of namesIn(parent)) {
      const pid = Number(/^engramd-test-(\d+)-/.exec(name)?.[1]);
      if (!pid || findProcess(pid)) continue;
      const folder = join(parent, name);
      const postmaster = findPostmaster(embeddedLayout(folder).data);
      if (postmaster.kind === 'ours') await stopPostmaster(postmaster.process, { clock: systemClock, log: silentLog });
      removeScratchFolder(folder);
    }
  }
}

function isMemoryFit(): boolean {
  try {
    const { bavail, bsize } = statfsSync(memory);
    if (bavail * bsize < neededBytes) return false;
    // Docker mounts it noexec, and the server's programs are copied there.
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((line) => line.split(' ')[1] === memory);
    return mount !== undefined && !/[ ,]noexec[, ]/.test(mount);
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
