import { createHash } from 'node:crypto';
import type { StoreOrigin } from '../store/store-origin.ts';

/** The database that a backup was taken of. Its store alone does not say: a restore puts the same one into another database. */
export interface BackupOwner {
  /** Of engram.store. */
  readonly store: string;
  readonly origin: StoreOrigin;
}

/** Null: nobody can tell. */
interface Told {
  readonly store: string | null;
  readonly origin: StoreOrigin | null;
}

/**
 * Whether both are of one database. What cannot be told, or only of one of them, is of another: it is kept. Two clusters
 * that both hide their ids are told apart by the numbers of their databases alone.
 */
export function areOfOne(a: Told, b: Told): boolean {
  if (a.origin === null || b.origin === null) return false;
  return (
    a.store === b.store && a.origin.clusterId === b.origin.clusterId && a.origin.databaseOid === b.origin.databaseOid
  );
}

/** Short enough for a name of a file: which of the databases that hold one store. */
export function originTag({ clusterId, databaseOid }: StoreOrigin): string {
  return createHash('sha256')
    .update(`${clusterId ?? ''}/${databaseOid}`)
    .digest('hex')
    .slice(0, 8);
}

/** What a list calls the database that a backup is of; null: nobody can tell. */
export function databaseLabel({ store, origin }: Told): string | null {
  if (store === null) return null;
  return [store.slice(0, 8), ...(origin === null ? [] : [originTag(origin)])].join('-');
}
