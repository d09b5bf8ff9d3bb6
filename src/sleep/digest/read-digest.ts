import type { Queryable } from '../../db/database.ts';
import {
  banksOfNight,
  conflictsOfNight,
  costOfNight,
  type NightOfBank,
  opsOfNight,
  parkedInNight,
  pinsOfNight,
  proposalsOfNight,
  refusalsOfNight,
  stepsOfNight,
} from '../../store/digest-rows.ts';
import type { Digest, DigestWindow } from '../../store/digests.ts';
import { type BankView, type DigestView, pinsShown, told } from './digest-view.ts';
import { renderDigest } from './render-digest.ts';

/** Banks told in full; of more a digest would be no longer short. */
const banksInFull = 6;

/**
 * The digest in Markdown. Made anew each time it is read: a text that was forgotten meanwhile is gone from it, a change
 * that was undone says so.
 */
export async function digestMarkdown(db: Queryable, digest: Digest): Promise<string> {
  const night: DigestWindow = { fromAt: digest.fromAt, toAt: digest.toAt };
  const banks = await banksOfNight(db, night);
  const inFull: BankView[] = [];
  for (const bank of banks.slice(0, banksInFull)) inFull.push(await bankView(db, bank, night));
  const view: DigestView = {
    ...night,
    banks: inFull,
    otherBanks: banks.slice(banksInFull),
    steps: await stepsOfNight(db, digest.cycleId),
    cost: await costOfNight(db, night),
  };
  return renderDigest(view);
}

async function bankView(db: Queryable, bank: NightOfBank, night: DigestWindow): Promise<BankView> {
  const { bankId } = bank;
  const eachKind = Math.max(...told.map(({ shown }) => shown));
  return {
    ...bank,
    examples: await opsOfNight(db, bankId, { ...night, eachKind }),
    pins: await pinsOfNight(db, bankId, { ...night, eachChange: pinsShown }),
    refusals: await refusalsOfNight(db, bankId, night),
    conflicts: await conflictsOfNight(db, bankId, night),
    proposals: await proposalsOfNight(db, bankId, night),
    parkedNow: await parkedInNight(db, bankId, night),
  };
}
