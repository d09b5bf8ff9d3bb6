import { readFileSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** Where a daemon tells the commands of the same data directory how to reach it. */
const daemonFileSchema = z.object({
  url: z.url(),
  pid: z.int().positive(),
  instanceId: z.uuid(),
  version: z.string(),
  startedAt: z.iso.datetime(),
});

export type DaemonFile = z.output<typeof daemonFileSchema>;

function daemonFilePath(dataDir: string): string {
  return join(dataDir, 'daemon.json');
}

/** Complete or not there: written beside, then renamed. 0600, since the port of a local service is nobody else's. */
export async function writeDaemonFile(dataDir: string, content: DaemonFile): Promise<void> {
  const path = daemonFilePath(dataDir);
  const part = `${path}.${content.pid}.part`;
  // A leftover of a killed process with this pid may belong to another user; 'wx' would trip over it for ever.
  rmSync(part, { force: true });
  const file = await open(part, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
  } finally {
    await file.close();
  }
  await rename(part, path);
}

/** What the file says; undefined where there is none or it is not ours. Says nothing about whether that daemon lives. */
export function readDaemonFile(dataDir: string): DaemonFile | undefined {
  try {
    const parsed = daemonFileSchema.safeParse(JSON.parse(readFileSync(daemonFilePath(dataDir), 'utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the file if it is still this instance's. */
export async function removeDaemonFile(dataDir: string, instanceId: string): Promise<void> {
  if (readDaemonFile(dataDir)?.instanceId === instanceId) await rm(daemonFilePath(dataDir), { force: true });
}
