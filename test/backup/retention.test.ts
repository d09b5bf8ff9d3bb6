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
  readonly wasVerified: boolean;
  readonly changedAt: Date;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
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
  .uniqueArray(
    fc.record({
      hour: fc.nat({ max: 24 * 60 }),
      standing,
      whose,
      id: fc.uuid(),
      wasVerified: fc.boolean(),
      /** Somebody changed it so long after it was taken. */
      laterMs: fc.oneof(fc.constant(0), fc.nat({ max: 60 * dayMs })),
    }),
    {
      maxLength: 40,
      selector: ({ hour }) => hour,
    },
  )
  .map((list) =>
    list.map(
      ({ hour, id, standing, whose, wasVerified, laterMs }): Kept => ({
        name: backupName(new Date(start + hour * hourMs), id, null),
        standing,
        ...whose,
        wasVerified: wasVerified || standing === 'verified',
        changedAt: new Date(start + hour * hourMs + laterMs),
      }),
    ),
  );
const keep = fc.integer({ min: 1, max: 20 });
/** Nobody has touched any of them for long. */
const now = new Date(start + 200 * dayMs);

const newest = (list: readonly Kept[]) => list.toSorted((a, b) => (a.name < b.name ? 1 : -1));
const ownOf = (list: readonly Kept[]) =>
  newest(list).filter((one) => one.store === own.store && isDeepStrictEqual(one.origin, own.origin));
const verifiedOf = (list: readonly Kept[]) => ownOf(list).filter((one) => one.standing === 'verified');
const fallenOf = (list: readonly Kept[]) => ownOf(list).filter((one) => /unverified|damaged/.test(one.standing));
const spoiledOf = (list: readonly Kept[]) => fallenOf(list).filter((one) => !one.wasVerified);
/** Those that the clock of the disk says nobody has touched for an hour. */
function isLeftAlone(list: readonly Kept[]): (one: Kept) => boolean {
  const lastMs = Math.max(...list.map(({ changedAt }) => changedAt.getTime()));
  return ({ changedAt }) => lastMs - changedAt.getTime() >= hourMs;
}

test('of verified backups exactly the newest stay, as many as are to be kept', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { ...own, keep: keepCount, now }));
      const stays = verifiedOf(list).filter(({ name }) => !goes.has(name));
      expect(stays).toEqual(verifiedOf(list).slice(0, keepCount));
    }),
  );
});

test('the newest verified one never goes, and nothing of another database, of a newer engramd or that cannot be read', () => {
  fc.assert(
    fc.property(backups, fc.integer({ min: -1, max: 3 }), (list, keepCount) => {
      const goes = backupsToPrune(list, { ...own, keep: keepCount, now });
      const [best] = verifiedOf(list);
      if (best) expect(goes).not.toContain(best.name);
      const may = new Set([...verifiedOf(list), ...fallenOf(list)].map(({ name }) => name));
      expect(goes.filter((name) => !may.has(name))).toEqual([]);
    }),
  );
});

test('of those that were never verified the newest two stay, for a day beside one that was', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { ...own, keep: keepCount, now }));
      const [best] = verifiedOf(list);
      for (const [index, { name, standing }] of spoiledOf(list).entries()) {
        const isOld = best !== undefined && nameTime(name).getTime() < nameTime(best.name).getTime() - dayMs;
        const may = spoiledOf(list)
          .filter(isLeftAlone(list))
          .some((one) => one.name === name);
        expect(goes.has(name), `${name} ${standing}`).toBe(may && (isOld || index >= 2));
      }
    }),
  );
});

test('what was verified once and stands no more goes behind as many newer ones that stand as are kept, no sooner', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { ...own, keep: keepCount, now }));
      for (const one of fallenOf(list).filter(({ wasVerified }) => wasVerified)) {
        const newer = verifiedOf(list).filter(({ name }) => name > one.name);
        expect(goes.has(one.name), one.name).toBe(newer.length >= keepCount && isLeftAlone(list)(one));
      }
    }),
  );
});

test('what was changed within the hour goes only for its age, and stands, whatever the clocks say', () => {
  const ago = fc.integer({ min: 0, max: hourMs - 1 });
  const skewMs = fc.oneof(fc.integer({ min: -20 * 60_000, max: dayMs - hourMs }), fc.constant(-400 * dayMs));
  fc.assert(
    fc.property(backups, keep, ago, skewMs, (list, keepCount, agoMs, aheadMs) => {
      // The disk's clock is ahead of ours, or behind it by minutes, or ours is days ahead.
      const fresh = list.map((one) => ({ ...one, changedAt: new Date(now.getTime() + aheadMs - agoMs) }));
      const goes = backupsToPrune(fresh, { ...own, keep: keepCount, now });
      expect(goes).toEqual(
        verifiedOf(fresh)
          .slice(keepCount)
          .map(({ name }) => name)
          .toSorted(),
      );
      expect(spoiledToPrune(fresh, { ...own, now })).toEqual([]);
    }),
  );
});

test('a folder from days ahead, of a clock that was wrong, is not kept until then', () => {
  const at = (hours: number, changedAt: Date): Kept => ({
    name: backupName(new Date(start + hours * hourMs), '0'.repeat(8), null),
    standing: 'unverified',
    ...own,
    wasVerified: false,
    changedAt,
  });
  const list = [0, 1, 2].map((hours) => at(hours, new Date(now.getTime() + 2 * dayMs)));
  expect(spoiledToPrune(list, { ...own, now })).toEqual([list[0]?.name]);
});

test('after a failure those same go, and nothing that was verified', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const spoiled = new Set(spoiledOf(list).map(({ name }) => name));
      const goes = spoiledToPrune(list, { ...own, now });
      expect(goes).toEqual(backupsToPrune(list, { ...own, keep: keepCount, now }).filter((name) => spoiled.has(name)));
    }),
  );
});

test('the oldest goes first; pruned twice is pruned once, in whatever order they are listed', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = backupsToPrune(list, { ...own, keep: keepCount, now });
      expect(goes).toEqual(goes.toSorted());
      const left = list.filter(({ name }) => !goes.includes(name));
      expect(backupsToPrune(left, { ...own, keep: keepCount, now })).toEqual([]);
      expect(backupsToPrune(list.toReversed(), { ...own, keep: keepCount, now })).toEqual(goes);
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
        list = [...list, { name, standing: 'verified', ...own, wasVerified: true, changedAt: at }];
        const goes = backupsToPrune(list, { ...own, keep: keepCount, now });
        expect(goes).not.toContain(name);
        list = list.filter((one) => !goes.includes(one.name));
      }
    }),
  );
});
