import { closeSync, fchmodSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The memory of the watchdog over restarts: one JSON line for each time it acted. Read by the thread: no imports. */
export interface KillRecord {
  readonly at: Date;
  readonly pid: number;
  readonly instanceId: string;
  readonly strikes: number;
  readonly reason: string;
  /** Frames of the main thread, innermost first; null where they could not be had. */
  readonly stack: readonly string[] | null;
  /** False: it only says what it saw. */
  readonly killed: boolean;
}

const kept = 100;
/** 100 records with their stacks are a tenth of this. Whatever is larger is not ours. */
const maxBytes = 4 * 2 ** 20;

export function killLogPath(dataDir: string): string {
  return join(dataDir, 'watchdog.log');
}

/** Oldest first. What cannot be read is not there: a process killed in the middle of a line leaves half of it. */
export function readKillLog(path: string): KillRecord[] {
  return linesOf(path).flatMap((line) => parse(line) ?? []);
}

/** Durable when it returns: the next thing is the end of this process. */
export function appendKill(path: string, record: KillRecord): void {
  const lines = linesOf(path);
  const line = JSON.stringify(record);
  if (lines.length < kept && isWhole(path)) {
    writeDurably(path, 'a', `${line}\n`);
    return;
  }
  const part = `${path}.part`;
  writeDurably(part, 'w', `${[...lines.filter((old) => parse(old)).slice(1 - kept), line].join('\n')}\n`);
  renameSync(part, path);
}

function writeDurably(path: string, flag: 'a' | 'w', text: string): void {
  const file = openSync(path, flag, 0o600);
  try {
    fchmodSync(file, 0o600);
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Whether a line can be put behind what is there. */
function isWhole(path: string): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return size === 0 || (size <= maxBytes && readFileSync(path, 'utf8').endsWith('\n'));
}

function linesOf(path: string): string[] {
  try {
    if (statSync(path).size > maxBytes) return [];
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

function parse(line: string): KillRecord | undefined {
  try {
    const { at, pid, instanceId, strikes, reason, stack, killed } = JSON.parse(line);
    const isOurs =
      Number.isInteger(pid) &&
      typeof instanceId === 'string' &&
      Number.isInteger(strikes) &&
      typeof reason === 'string' &&
      (stack === null || (Array.isArray(stack) && stack.every((frame) => typeof frame === 'string'))) &&
      typeof killed === 'boolean';
    const time = new Date(at);
    if (!isOurs || Number.isNaN(time.getTime())) return undefined;
    return { at: time, pid, instanceId, strikes, reason, stack, killed };
  } catch {
    return undefined;
  }
}
