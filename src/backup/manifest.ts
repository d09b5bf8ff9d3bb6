import { z } from 'zod';

/** Grows where an older engramd could not read what is written. */
export const backupFormat = 1;

const hex256 = z.string().regex(/^[0-9a-f]{64}$/);
const digits = z.string().regex(/^\d+$/);

const tableSchema = z.strictObject({
  name: z.string(),
  /** As dumped, in this order; generated columns and transaction ids are not among them. */
  columns: z.array(z.string()).min(1),
  /** Beside the manifest: binary COPY, gzip. */
  file: z.string().regex(/^[a-z_]+\.copy\.gz$/),
  rows: z.int().nonnegative(),
  fileBytes: z.int().nonnegative(),
  /** Of the file as it stands. */
  sha256: hex256,
  /** Of the rows in any order: see content-hash.ts. */
  contentHash: hex256,
});

/** Where its transaction ids mean something: those of every other cluster are others. */
export const originSchema = z.strictObject({
  /** Null: nobody may know it there, and so nobody compares them. */
  clusterId: digits.nullable(),
  databaseOid: digits,
});

/** As in `CREATE DATABASE`: rows that are two to one locale may be one to another. */
const localeSchema = z.strictObject({
  encoding: z.string(),
  provider: z.enum(['b', 'c', 'i']),
  collate: z.string(),
  ctype: z.string(),
  /** Of ICU or the builtin provider. */
  locale: z.string().nullable(),
});

/** One search, asked of the snapshot and of what was restored from it. */
const probeSchema = z.strictObject({
  bankId: z.string(),
  query: z.string(),
  hits: z.array(z.strictObject({ target: z.enum(['memories', 'observations']), id: z.guid(), score: z.number() })),
});

export const manifestBodySchema = z.strictObject({
  format: z.literal(backupFormat),
  id: z.uuid(),
  engramd: z.string(),
  /** Version of the schema whose tables these are. */
  schema: z.int().positive(),
  server: z.string(),
  /** Of engram.store: what it is a backup of, and which of the stores that were in that database. */
  store: z.guid(),
  epoch: z.int().positive(),
  origin: originSchema,
  /** Not in the first ones: of those nobody can tell. */
  locale: localeSchema.optional(),
  startedAt: z.iso.datetime(),
  /** The instant that it holds, by the database's clock. */
  snapshotAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  /** pg_snapshot_xmin() of the snapshot. */
  seenXid: digits,
  tables: z.array(tableSchema),
  /** As text: they go to 2^63, numbers of JSON do not. */
  sequences: z.array(z.strictObject({ name: z.string(), lastValue: z.string().regex(/^-?\d+$/) })),
  /** Null: no bank has anything to be found. */
  probe: probeSchema.nullable(),
});

export const manifestSchema = manifestBodySchema.extend({
  /** SHA-256 of the manifest without this line, in canonical JSON. */
  checksum: hex256,
});

export type ManifestTable = z.output<typeof tableSchema>;
export type ManifestBody = z.output<typeof manifestBodySchema>;
export type Manifest = z.output<typeof manifestSchema>;

/** Written last: a folder without it is not a backup. */
export const manifestFile = 'manifest.json';
/** Put beside the manifest once the backup was restored and compared (law L16); tells also when its files were read since. */
export const verifiedFile = 'verified.json';
/** What becomes of that mark where the backup does not stand any more. */
export const onceVerifiedFile = 'once-verified.json';
/** Beside it instead where that failed, and how. */
export const problemFile = 'problem.json';
