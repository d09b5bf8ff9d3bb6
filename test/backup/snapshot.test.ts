import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import { createContentHash } from '../../src/backup/content-hash.ts';
import { createCopyTuples } from '../../src/backup/copy-tuples.ts';
import { openDump } from '../../src/backup/dump.ts';
import type { Manifest } from '../../src/backup/manifest.ts';
import { beginSnapshot } from '../../src/backup/snapshot-facts.ts';
import { keptColumns, readTable } from '../../src/backup/table-copy.ts';
import { type DirectSession, openDirectSession } from '../../src/db/direct-session.ts';
import { type BackupsRig, createBackupsRig, remember } from './backups-rig.ts';
import { idOf } from './seeded-store.ts';

let rig: BackupsRig;
let session: DirectSession;
beforeAll(async () => {
  rig = await createBackupsRig();
  session = await openDirectSession({ connectionString: rig.database.connectionString, applicationName: 'test' });
});
beforeEach(() => rig.reset());
afterAll(async () => {
  await session.close();
  await rig.close();
});

async function taken(backups = rig.backups): Promise<{ folder: string; manifest: Manifest }> {
  const outcome = await backups.take({
    trigger: 'asked',
    force: true,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  if (outcome.kind !== 'verified' || !outcome.backup.manifest) throw new Error(outcome.kind);
  return { folder: join(rig.directory, outcome.backup.name), manifest: outcome.backup.manifest };
}

/** Rows and hashes of every kept table as they are now. */
async function contents(): Promise<Map<string, unknown>> {
  await beginSnapshot(session);
  const found = new Map<string, unknown>();
  for (const table of await keptColumns(session))
    found.set(table.name, await readTable(session, table, () => undefined));
  await session.script('commit');
  return found;
}

const contentsOf = ({ tables }: Manifest) =>
  new Map<string, unknown>(tables.map(({ name, rows, contentHash }) => [name, { rows, contentHash }]));

test('the files hold the rows whose hash the manifest has', async () => {
  const { folder, manifest } = await taken();
  expect(contentsOf(manifest)).toEqual(await contents());
  for (const { name, file, rows, contentHash } of manifest.tables) {
    const content = createContentHash();
    const tuples = createCopyTuples(content.add);
    for await (const chunk of createReadStream(join(folder, file)).pipe(createGunzip())) tuples.push(chunk);
    tuples.end();
    expect({ rows: content.rows, contentHash: content.digest() }, name).toEqual({ rows, contentHash });
  }
});

test('a backup while four writers run holds exactly its snapshot', async () => {
  const { db } = rig.database;
  let written = 0;
  let isOver = false;
  let gate = Promise.resolve();
  const underWay = new Set<Promise<void>>();

  // Rows of several tables in one transaction: half of it in a backup would be seen.
  const write = (writer: number, text: string, beforeCommit: Promise<void> = Promise.resolve()) =>
    db.tx({ label: 'test' }, async (tx) => {
      const id = uuid();
      await tx.query(`insert into engram.memories (bank_id, id, text) values ('bank-1', $1, $2)`, [id, text]);
      await tx.query(`insert into engram.events (bank_id, kind, memory_id) values ('bank-1', 'test', $1)`, [id]);
      // Each has rows of its own: the one in the middle of it must not hold up the others.
      await tx.query(`update engram.memories set context = $1 where bank_id = 'bank-1' and id = $2`, [
        text,
        idOf('1', 1 + 4 * writer + (written % 4)),
      ]);
      await beforeCommit;
    });
  async function writer(name: number): Promise<void> {
    while (!isOver) {
      await gate;
      const writing = write(name, `writer ${name} at ${written}`);
      underWay.add(writing);
      await writing;
      underWay.delete(writing);
      written += 1;
    }
  }

  const late = Promise.withResolvers<void>();
  const resumed = Promise.withResolvers<void>();
  let expected: unknown;
  let writers: Promise<unknown> = Promise.resolve();
  const backups = rig.with({
    openDump(options) {
      const dump = openDump({ ...options, files: nodeFiles });
      return {
        ...dump,
        // The writers hold still for as long as it takes to know what the snapshot is to hold; one is in the middle.
        async begin() {
          gate = resumed.promise;
          await Promise.all(underWay);
          expected = await contents();
          const facts = await dump.begin();
          resumed.resolve();
          late.resolve();
          return facts;
        },
      };
    },
  });
  const lateWriter = write(0, 'begun before the snapshot, committed after it', late.promise);
  writers = Promise.all([1, 2, 3, 4].map(writer));
  while (written < 4) await new Promise(setImmediate);
  // They come in between every two tables.
  rig.races.at('backup:table-written', async () => {
    const seen = written;
    while (written === seen) await new Promise(setImmediate);
  });
  const { manifest } = await taken(backups);
  isOver = true;
  await Promise.all([writers, lateWriter]);

  expect(contentsOf(manifest)).toEqual(expected);
  expect(await contents()).not.toEqual(expected);
});

test('sequences stand at or behind no row of the snapshot', async () => {
  await remember(rig, 'an event comes with it');
  const { manifest } = await taken();
  const { rows } = await rig.database.db.query<{ last: number }>('select max(id) as last from engram.events');
  const events = manifest.sequences.find(({ name }) => name === 'events_id_seq');
  expect(Number(events?.lastValue)).toBeGreaterThanOrEqual(rows[0]?.last ?? Infinity);
});
