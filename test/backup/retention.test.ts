import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backupName, nameTime } from '../../src/backup/backup-folder.ts';
import type { BackupStanding } from '../../src/backup/backup-store.ts';
import { backupsToPrune } from '../../src/backup/retention.ts';

interface Kept {
  readonly name: string;
  readonly standing: BackupStanding;
}

const dayMs = 86_400_000;
const start = Date.UTC(2026, 0, 1);
const standing = fc.constantFrom<BackupStanding>('verified', 'unverified', 'damaged', 'newer');
const backups = fc
  .uniqueArray(fc.record({ hour: fc.nat({ max: 24 * 60 }), standing, id: fc.uuid() }), {
    maxLength: 40,
    selector: ({ hour }) => hour,
  })
  .map((list) =>
    list.map(
      ({ hour, standing, id }): Kept => ({ name: backupName(new Date(start + hour * 3_600_000), id, null), standing }),
    ),
  );
const keep = fc.integer({ min: 1, max: 20 });

const newest = (list: readonly Kept[]) => list.toSorted((a, b) => (a.name < b.name ? 1 : -1));
const verifiedOf = (list: readonly Kept[]) => newest(list).filter((one) => one.standing === 'verified');

test('of verified backups exactly the newest stay, as many as are to be kept', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { keep: keepCount }));
      const stays = verifiedOf(list).filter(({ name }) => !goes.has(name));
      expect(stays).toEqual(verifiedOf(list).slice(0, keepCount));
    }),
  );
});

test('the newest verified one never goes, and without one nothing does', () => {
  fc.assert(
    fc.property(backups, fc.integer({ min: -1, max: 3 }), (list, keepCount) => {
      const goes = backupsToPrune(list, { keep: keepCount });
      const [best] = verifiedOf(list);
      if (best) expect(goes).not.toContain(best.name);
      else expect(goes).toEqual([]);
    }),
  );
});

test('what was never verified goes only a day behind one that was; what a newer engramd wrote never', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = new Set(backupsToPrune(list, { keep: keepCount }));
      const [best] = verifiedOf(list);
      for (const { name, standing } of list.filter((one) => one.standing !== 'verified')) {
        const isOld = best !== undefined && nameTime(name).getTime() < nameTime(best.name).getTime() - dayMs;
        expect(goes.has(name), `${name} ${standing}`).toBe(isOld && standing !== 'newer');
      }
    }),
  );
});

test('the oldest goes first; pruned twice is pruned once, in whatever order they are listed', () => {
  fc.assert(
    fc.property(backups, keep, (list, keepCount) => {
      const goes = backupsToPrune(list, { keep: keepCount });
      expect(goes).toEqual(goes.toSorted());
      const left = list.filter(({ name }) => !goes.includes(name));
      expect(backupsToPrune(left, { keep: keepCount })).toEqual([]);
      expect(backupsToPrune(list.toReversed(), { keep: keepCount })).toEqual(goes);
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
        list = [...list, { name, standing: 'verified' }];
        const goes = backupsToPrune(list, { keep: keepCount });
        expect(goes).not.toContain(name);
        list = list.filter((one) => !goes.includes(one.name));
      }
    }),
  );
});
