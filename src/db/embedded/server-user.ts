import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DataDirUnreachableError, NoServerUserError } from './embedded-errors.ts';

/** Who the server runs as where root starts it: PostgreSQL refuses to be root. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const usualUsers = ['postgres', 'nobody'];

/**
 * Undefined for anybody but root: the server runs as whoever starts it.
 *
 * An existing cluster keeps its owner. Without that, installing a package that brings a user `postgres`, or starting as
 * root once what a plain user began, would end in "data directory has wrong ownership".
 *
 * @throws NoServerUserError
 */
export function chooseServerUser(
  clusterData: string,
  candidates: readonly string[] = usualUsers,
): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = ownerOf(clusterData);
  if (owner && owner.uid !== 0) return { name: `uid ${owner.uid}`, ...owner };
  for (const name of candidates) {
    const user = lookUpInFile(name) ?? lookUpById(name);
    if (user) return user;
  }
  throw new NoServerUserError(
    'PostgreSQL does not run as root, and this system has neither a user "postgres" nor "nobody" to run it as: ' +
      'add one, start engramd as another user, or set DATABASE_URL to a server of your own',
  );
}

/**
 * Asks the system itself, as that user, since modes alone do not tell what an ACL allows.
 *
 * @throws DataDirUnreachableError naming the first folder that keeps the user out
 */
export function assertReachable(folder: string, user: ServerUser): void {
  if (canEnter(folder, user)) return;
  const parents: string[] = [];
  for (let path = folder; ; path = dirname(path)) {
    parents.unshift(path);
    if (path === dirname(path)) break;
  }
  const barrier = parents.find((path) => !canEnter(path, user)) ?? folder;
  throw new DataDirUnreachableError(
    `the embedded PostgreSQL runs as ${user.name} and cannot enter ${barrier}: set ENGRAMD_DATA_DIR to a directory below folders that ` +
      `everybody may pass through (such as /var/lib/engramd), or allow it with: chmod o+x ${barrier}`,
  );
}

function canEnter(folder: string, user: ServerUser): boolean {
  const { status } = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], {
    uid: user.uid,
    gid: user.gid,
    cwd: '/',
    env: {},
    stdio: 'ignore',
  });
  return status === 0;
}

function ownerOf(path: string): { uid: number; gid: number } | undefined {
  try {
    const { uid, gid } = statSync(path);
    return { uid, gid };
  } catch {
    return undefined;
  }
}

function lookUpInFile(name: string): ServerUser | undefined {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return undefined;
  }
  for (const line of text.split('\n')) {
    const [login, , uid, gid] = line.split(':');
    if (login === name) return userFrom(name, uid, gid);
  }
  return undefined;
}

/** Users of LDAP and the like are not in the file, and macOS keeps its own elsewhere. */
function lookUpById(name: string): ServerUser | undefined {
  const ask = (flag: string) =>
    spawnSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).stdout;
  return userFrom(name, ask('-u'), ask('-g'));
}

function userFrom(
  name: string,
  uidText: string | null | undefined,
  gidText: string | null | undefined,
): ServerUser | undefined {
  const uid = Number.parseInt(uidText ?? '', 10);
  const gid = Number.parseInt(gidText ?? '', 10);
  // A uid of 0 under another name is still root to PostgreSQL.
  return Number.isSafeInteger(uid) && Number.isSafeInteger(gid) && uid > 0 ? { name, uid, gid } : undefined;
}
