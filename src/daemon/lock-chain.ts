import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/**
 * Who holds a folder, decided by nothing but link(2) and rename(2), so that a SIGKILL at any instant leaves a state the
 * next process can read.
 *
 * `owner` holds the owner's record. Whoever finds that owner dead creates `after-<its token>` with a record of its own;
 * link(2) lets one process do so. It then replaces `owner` and removes the rest. A process that was slow may create
 * such a file when the true successor has tidied up already; but by then `owner` names that one, and never again the
 * dead. So a claim counts only if it is still reached from `owner` after it was made.
 */
const recordSchema = z.object({
  token: z.uuid(),
  pid: z.number().int().positive(),
  /** See ProcessIdentity. */
  startTime: z.string(),
  /** Boot and process namespace in which the pid means something; see processScope. */
  scope: z.string(),
  host: z.string(),
  role: z.enum(['daemon', 'cli']),
  startedAt: z.iso.datetime(),
});

export type LockRecord = z.infer<typeof recordSchema>;

export type Holder =
  | { readonly kind: 'known'; readonly token: string; readonly record: LockRecord }
  /** Not something we wrote: records appear whole, so only a power cut or a hand left this. Nobody lives behind it. */
  | { readonly kind: 'damaged'; readonly token: string };

export function openLockFolder(dataDir: string): string {
  const folder = join(dataDir, 'lock');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** The last of the chain: the owner, or whoever is about to replace a dead one. Undefined: nobody. */
export function readHolder(folder: string): Holder | undefined {
  let holder = readRecord(join(folder, 'owner'));
  while (holder) {
    const successor = readRecord(successorFile(folder, holder));
    if (!successor) return holder;
    holder = successor;
  }
  return undefined;
}

/** Takes a folder that nobody holds. False if somebody was faster. */
export function claimFree(folder: string, record: LockRecord): boolean {
  return publish(folder, record, join(folder, 'owner'), () => true);
}

/** Takes a folder from a holder that is dead. False if somebody was faster; then nothing is left behind. */
export function claimFrom(folder: string, record: LockRecord, dead: Holder): boolean {
  const successor = successorFile(folder, dead);
  return publish(folder, record, successor, (claim) => {
    if (readHolder(folder)?.token !== record.token) {
      rmSync(successor, { force: true });
      return false;
    }
    renameSync(claim, join(folder, 'owner'));
    return true;
  });
}

/** Gives the folder back, if it is still ours. */
export function withdraw(folder: string, token: string): void {
  if (readRecord(join(folder, 'owner'))?.token === token) rmSync(join(folder, 'owner'), { force: true });
}

/** Removes records and claims of the dead. Only the owner may; a rival's unfinished claim goes too, and it tries again. */
export function tidy(folder: string, ownToken: string): void {
  for (const name of readdirSync(folder)) {
    const isRecord = name.startsWith('claim-') || name.startsWith('after-');
    if (isRecord && !name.endsWith(ownToken)) rmSync(join(folder, name), { force: true });
  }
}

function publish(folder: string, record: LockRecord, place: string, confirm: (claim: string) => boolean): boolean {
  const claim = join(folder, `claim-${record.token}`);
  writeFileSync(claim, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  try {
    linkSync(claim, place);
    return confirm(claim);
  } catch (thrown) {
    // EEXIST: another one holds the place. ENOENT: an owner tidied our claim away.
    if (isErrno(thrown, 'EEXIST') || isErrno(thrown, 'ENOENT')) return false;
    throw thrown;
  } finally {
    rmSync(claim, { force: true });
  }
}

function successorFile(folder: string, holder: Holder): string {
  return join(folder, `after-${holder.token}`);
}

function readRecord(path: string): Holder | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    if (isErrno(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
  try {
    const record = recordSchema.parse(JSON.parse(text));
    return { kind: 'known', token: record.token, record };
  } catch {
    return { kind: 'damaged', token: `damaged-${createHash('sha256').update(text).digest('hex').slice(0, 16)}` };
  }
}

function isErrno(thrown: unknown, code: string): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === code;
}
