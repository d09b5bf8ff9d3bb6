import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backupName, nameTime } from '../../src/backup/backup-folder.ts';
import type { BackupStanding } from '../../src/backup/backup-store.ts';
import { backupsToPrune, spoiledToPrune } from '../../src/backup/retention.ts';
import type { StoreOrigin } from '../../src/store/store-origin.ts';

interface Kept {
  readonly name: string;
  readonly standing: BackupStanding;
  readonly store: string | null;
  readonly origin: StoreOrigin | null;
}

const dayMs = 86_400_000;
const start = Date.UTC(2026, 0, 1);
const standing = fc.constantFrom<BackupStanding>('verified', 'unverified', 'damaged', 'newer', 'unreadable');
const origin: StoreOrigin = { clusterId: '7', databaseOid: '16384' };
const own = { store: 'own', origin };
const whose = fc.oneof(
  { arbitrary: fc.constant(own), weight: 6 },
  fc.constantFrom<Pick<Kept, 'store' | 'origin'>>(
    { store: 'other', origin },
    { store: null, origin: null },
    // Of the same store in another database, another cluster, one that hides its id, and where nobody can tell.
    { store: 'own', origin: { ...origin, databaseOid: '16385' } },
    { store: 'own', origin: { ...origin, clusterId: '8' } },
    { store: 'own', origin: { ...origin, clusterId: null } },
    { store: 'own', origin: null },
  ),
);
const backups = fc
  .uniqueArray(fc.record({ hour: fc.nat({ max: 24 * 60 }), standing, whose, id: fc.uuid() }), {
    maxLength: 40,
    selector: ({ hour }) => hour,
  })
  .map((list) =>
    list.map(
      ({ hour, id, standing, whose }): Kept => ({
        name: backupName(new Date(start + hour * 3_600_000), id, null),
        standing,
        ...whose,
      }),
    ),
  );
const keep = fc.integer({ min: 1, max: 20 });

const newest = (list: readonly Kept[]) => list.toSorted((a, b) => (a.name < b.name ? 1 : -1));
const ownOf = (list: readonly Kept[]) =>
  newest(list).filter((one) => one.store === own.store && isDeepStrictEqual(one.origin, own.origin));
const verifiedOf = (list: readonly Kept[]) => ownOf(list).filter((one) => one.standing === 'verified');
const spoiledOf = (list: readonly Kept[]) => ownOf(list).filter((one) => /unverified|damaged/.test(one.standing));

test('of verified backups exactly the newest stay, as many as are to be kept', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { ...own, keep: keepCount }));
      const stays = verifiedOf(list).filter(({ name }) => !goes.has(name));
      expect(stays).toEqual(verifiedOf(list).slice(0, keepCount));
    }),
  );
});

test('the newest verified one never goes, and nothing of another database, of a newer engramd or that cannot be read', () => {
  fc.assert(
    fc.property(backups, fc.integer({ min: -1, max: 3 }), (list, keepCount) => {
      const goes = backupsToPrune(list, { ...own, keep: keepCount });
      const [best] = verifiedOf(list);
      if (best) expect(goes).not.toContain(best.name);
      const may = new Set([...verifiedOf(list), ...spoiledOf(list)].map(({ name }) => name));
      expect(goes.filter((name) => !may.has(name))).toEqual([]);
    }),
  );
});

test('of those that were never verified or are damaged the newest two stay, for a day beside one that was', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { ...own, keep: keepCount }));
      const [best] = verifiedOf(list);
      for (const [index, { name, standing }] of spoiledOf(list).entries()) {
        const isOld = best !== undefined && nameTime(name).getTime() < nameTime(best.name).getTime() - dayMs;
        expect(goes.has(name), `${name} ${standing}`).toBe(isOld || index >= 2);
      }
    }),
  );
});

test('after a failure those same go, and nothing that was verified', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const spoiled = new Set(spoiledOf(list).map(({ name }) => name));
      const goes = spoiledToPrune(list, own);
      expect(goes).toEqual(backupsToPrune(list, { ...own, keep: keepCount }).filter((name) => spoiled.has(name)));
    }),
  );
});

test('the oldest goes first; pruned twice is pruned once, in whatever order they are listed', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = backupsToPrune(list, { ...own, keep: keepCount });
      expect(goes).toEqual(goes.toSorted());
      const left = list.filter(({ name }) => !goes.includes(name));
      expect(backupsToPrune(left, { ...own, keep: keepCount })).toEqual([]);
      expect(backupsToPrune(list.toReversed(), { ...own, keep: keepCount })).toEqual(goes);
    }),
  );
});

test('with a clock that was set back, the new backup is the newest by its name, and stays', () => {
  const time = fc.date({ min: new Date(start), max: new Date(start + 400 * dayMs), noInvalidDate: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(time, fc.uuid()), { minLength: 1, maxLength: 30 }), keep, (taken, keepCount) => {
      let list: Kept[] = [];
      for (const [at, id] of taken) {
        const before = newest(list)[0]?.name ?? null;
        const name = backupName(at, id, before);
        if (before !== null) expect(name > before).toBe(true);
        list = [...list, { name, standing: 'verified', ...own }];
        const goes = backupsToPrune(list, { ...own, keep: keepCount });
        expect(goes).not.toContain(name);
        list = list.filter((one) => !goes.includes(one.name));
      }
    }),
  );
});
