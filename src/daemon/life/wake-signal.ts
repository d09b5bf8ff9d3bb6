import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';

const signalSchema = z.object({ by: z.string().max(500), at: z.iso.datetime() });

export interface WakeSignal {
  /** Who wrote it; null where that cannot be read. */
  readonly by: string | null;
  readonly at: Date | null;
}

/** The signal cannot be left, say because the data directory is another user's. */
class WakeSignalError extends EngramdError {
  readonly code = 'WAKE_SIGNAL';
}

function signalPath(dataDir: string): string {
  return join(dataDir, 'wake.signal');
}

/**
 * Tells the next start of this data directory that somebody wants it awake. Written before a supervisor is called: a daemon
 * that starts and finds nothing would hibernate again before it serves. Complete or not there.
 *
 * @throws WakeSignalError
 */
export function writeWakeSignal(dataDir: string, { by, now }: { readonly by: string; readonly now: Date }): void {
  const path = signalPath(dataDir);
  const part = `${path}.${process.pid}.part`;
  try {
    // A leftover of a killed process with this pid would keep its mode and its owner.
    rmSync(part, { force: true });
    writeFileSync(part, `${JSON.stringify({ by, at: now.toISOString() })}\n`, { mode: 0o600, flag: 'wx' });
    renameSync(part, path);
  } catch (cause) {
    throw new WakeSignalError(`cannot leave the wake signal ${path}: ${errorMessage(cause)}`, { cause });
  }
}

/** Takes the signal away; undefined where there is none. One that cannot be read was written by somebody all the same. */
export function consumeWakeSignal(dataDir: string): WakeSignal | undefined {
  const path = signalPath(dataDir);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    text = '';
  }
  rmSync(path, { force: true, recursive: true });
  try {
    const { by, at } = signalSchema.parse(JSON.parse(text));
    return { by, at: new Date(at) };
  } catch {
    return { by: null, at: null };
  }
}

function isMissing(thrown: unknown): boolean {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
