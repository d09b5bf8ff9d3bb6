import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { ForeignServiceFileError, ServiceFileError } from './service-errors.ts';
import { ownMark } from './service-options.ts';

export interface PlacedFile {
  readonly path: string;
  readonly content: string;
}

/** How a file stands to what this version would write. */
export type FileState = 'absent' | 'same' | 'drifted' | 'foreign';

/** @throws ServiceFileError where it is there and cannot be read */
export function stateOf({ path, content }: PlacedFile): FileState {
  const found = readIfThere(path);
  if (found === undefined) return 'absent';
  if (found === content) return 'same';
  return found.includes(ownMark) ? 'drifted' : 'foreign';
}

/** @throws ServiceFileError */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return undefined;
    throw new ServiceFileError(`${path} cannot be read: ${errorMessage(cause)}`, { cause });
  }
}

/** @throws ForeignServiceFileError naming the first that is not ours */
export function assertOurs(files: readonly PlacedFile[], advice: string): void {
  const foreign = files.find((file) => stateOf(file) === 'foreign');
  if (foreign) throw new ForeignServiceFileError(`${foreign.path} was not written by engramd: ${advice}`);
}

/**
 * Writes all of them or none: each complete beside its place first, and only then moved there. 0644, as supervisors
 * want them.
 *
 * @throws ServiceFileError naming the path that cannot be written
 */
export function writeServiceFiles(files: readonly PlacedFile[]): void {
  const parts: { readonly part: string; readonly path: string }[] = [];
  const madeFolders: string[] = [];
  let at = '';
  try {
    for (const { path, content } of files) {
      at = path;
      const made = mkdirSync(dirname(path), { recursive: true });
      if (made !== undefined) madeFolders.unshift(made);
      const part = `${path}.${process.pid}.part`;
      rmSync(part, { force: true });
      parts.push({ part, path });
      writeSynced(part, content);
    }
    for (const { part, path } of parts) renameSync(part, path);
  } catch (cause) {
    for (const { part } of parts) rmSync(part, { force: true });
    // Only what this call made, so there is nothing else in it.
    for (const folder of madeFolders) rmSync(folder, { recursive: true, force: true });
    const advice = codeOf(cause) === 'EACCES' || codeOf(cause) === 'EPERM' ? '; --user needs no rights of root' : '';
    throw new ServiceFileError(`${at} cannot be written: ${errorMessage(cause)}${advice}`, { cause });
  }
}

/** @throws ServiceFileError */
export function removeServiceFiles(files: readonly PlacedFile[]): void {
  for (const { path } of files) {
    try {
      rmSync(path, { force: true });
    } catch (cause) {
      throw new ServiceFileError(`${path} cannot be removed: ${errorMessage(cause)}`, { cause });
    }
  }
}

function writeSynced(path: string, content: string): void {
  const file = openSync(path, 'wx', 0o644);
  try {
    // The umask of whoever installs may be 077.
    fchmodSync(file, 0o644);
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function codeOf(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
}
