import type { Database, Queryable } from '../db/database.ts';
import { type Amounts, type DayLimits, readLedger } from '../store/budget-ledger.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { localDay, nextLocalMidnight } from './local-day.ts';
import type { ModelPurpose } from './model-gate.ts';

/** Where ENGRAMD_BUDGET_TOKENS_PER_DAY is unset: of models whose price nobody has told. */
const unpricedTokensPerDay = 2_000_000;

export function dayLimits(settings: {
  readonly budgetUsdPerDay: number;
  readonly budgetTokensPerDay?: number | undefined;
}): DayLimits {
  return {
    // Never 0, which is what an amount too small to count would become.
    nanoUsd: Math.max(1, Math.round(settings.budgetUsdPerDay * 1_000_000_000)),
    tokens: settings.budgetTokensPerDay ?? null,
    unpricedTokens: settings.budgetTokensPerDay ?? unpricedTokensPerDay,
  };
}

/** Of each limit, what the day may have come to when a score is asked for. */
const scoresShare = 0.5;

/**
 * What the day may come to with a call for this purpose. Scores stop at half of it, whoever spent that: a store of old
 * memories would take the day's money from what is new otherwise, and a memory without a score is still a memory.
 */
export function limitsFor(limits: DayLimits, purpose: ModelPurpose): DayLimits {
  if (purpose !== 'significance') return limits;
  return {
    nanoUsd: Math.floor(limits.nanoUsd * scoresShare),
    tokens: limits.tokens === null ? null : Math.floor(limits.tokens * scoresShare),
    unpricedTokens: Math.floor(limits.unpricedTokens * scoresShare),
  };
}

type LimitName = keyof Amounts;
const limitNames = ['nanoUsd', 'tokens', 'unpricedTokens'] as const satisfies readonly LimitName[];

/** Limits beyond which `used` and `wanted` go together; what is not wanted cannot be too much. */
function limitsBroken(limits: DayLimits, used: Amounts, wanted: Amounts): LimitName[] {
  return limitNames.filter((name) => {
    const limit = limits[name];
    return limit !== null && wanted[name] > 0 && used[name] + wanted[name] > limit;
  });
}

const nothing: Amounts = { nanoUsd: 0, tokens: 0, unpricedTokens: 0 };

function minus(left: Amounts, right: Amounts): Amounts {
  return {
    nanoUsd: left.nanoUsd - right.nanoUsd,
    tokens: left.tokens - right.tokens,
    unpricedTokens: left.unpricedTokens - right.unpricedTokens,
  };
}

/** Share of the limits that is left: of the one that is nearest to its end. */
export function leftRatio(limits: DayLimits, used: Amounts): number {
  const shares = limitNames.map((name) => {
    const limit = limits[name];
    return limit === null ? 1 : (limit - used[name]) / limit;
  });
  return Math.min(1, Math.max(0, Math.min(...shares)));
}

/** Why a reservation was refused, and what that means for whoever asked. */
export type Refusal =
  /** Something was given back meanwhile: it fits now. */
  | { readonly kind: 'fits' }
  /** It fits once calls under way have given back what they do not use. */
  | { readonly kind: 'reserved_elsewhere' }
  | { readonly kind: 'spent'; readonly retryAt: Date };

/** What the gates of a process know together about the day's budget. */
export interface Budget {
  readonly limits: DayLimits;
  today(): string;
  /** A call of this process has reserved; what is returned is called when it has settled. */
  reserved(ledger: Amounts): (ledger: Amounts | null) => void;
  /** Calls of this process that have reserved and not settled. */
  inFlight(): number;
  /** Resolves when one of those settles, or when the signal aborts. */
  nextSettlement(signal: AbortSignal): Promise<void>;
  /** Of what a whole day has for the purpose, the limit that this is more than; null: there may be days with room for it. */
  neverFits(wanted: Amounts, purpose: ModelPurpose): LimitName | null;
  /** Reads why `wanted`, which a day may hold, did not go through. */
  explainRefusal(wanted: Amounts, purpose: ModelPurpose): Promise<Refusal>;
  /**
   * Null: the day has room for that, or will once calls under way have settled. Else when there is again; what no day has
   * room for has no such time, and whoever asks for it is told what to change.
   */
  readyAt(wanted: Amounts, purpose: ModelPurpose): Promise<Date | null>;
}

export function createBudget(deps: {
  readonly db: Database;
  readonly limits: DayLimits;
  readonly clock: Clock;
  readonly metrics: Metrics;
}): Budget {
  const { db, limits, clock, metrics } = deps;
  let inFlight = 0;
  let settlement = Promise.withResolvers<void>();

  function note(ledger: Amounts): void {
    metrics.budgetLeftRatio.set(leftRatio(limits, ledger));
  }

  function neverFits(wanted: Amounts, purpose: ModelPurpose): LimitName | null {
    return limitsBroken(limitsFor(limits, purpose), nothing, wanted)[0] ?? null;
  }

  return {
    limits,
    today: () => localDay(clock.now()),
    reserved(ledger) {
      inFlight += 1;
      note(ledger);
      return (after) => {
        inFlight -= 1;
        if (after) note(after);
        const settled = settlement;
        settlement = Promise.withResolvers();
        settled.resolve();
      };
    },
    inFlight: () => inFlight,
    async nextSettlement(signal) {
      const aborted = Promise.withResolvers<void>();
      const give = () => aborted.resolve();
      signal.addEventListener('abort', give, { once: true });
      if (signal.aborted) give();
      await Promise.race([settlement.promise, aborted.promise]);
      signal.removeEventListener('abort', give);
    },
    neverFits,
    async explainRefusal(wanted, purpose) {
      const allowed = limitsFor(limits, purpose);
      const now = clock.now();
      const day = localDay(now);
      const ledger = await readLedger(db, day);
      note(ledger);
      if (limitsBroken(allowed, ledger, wanted).length === 0) return { kind: 'fits' };
      if (limitsBroken(allowed, minus(ledger, ledger.reserved), wanted).length === 0) {
        return { kind: 'reserved_elsewhere' };
      }
      return { kind: 'spent', retryAt: nextLocalMidnight(now) };
    },
    async readyAt(wanted, purpose) {
      if (neverFits(wanted, purpose) !== null) return null;
      const now = clock.now();
      const ledger = await readLedger(db, localDay(now));
      note(ledger);
      const allowed = limitsFor(limits, purpose);
      const isSpent = limitsBroken(allowed, minus(ledger, ledger.reserved), wanted).length > 0;
      return isSpent ? nextLocalMidnight(now) : null;
    },
  };
}

/** A limit of the day with what has gone of it; dollars in billionths. */
export interface BudgetUse {
  readonly limit: number;
  readonly spent: number;
  /** Held by calls under way. */
  readonly reserved: number;
  readonly left: number;
}

/** What `status` and `doctor` say of today's budget. */
export async function readBudget(
  db: Queryable,
  options: { readonly limits: DayLimits; readonly now: Date },
): Promise<{
  readonly day: string;
  readonly resetsAt: Date;
  readonly nanoUsd: BudgetUse;
  /** Null where ENGRAMD_BUDGET_TOKENS_PER_DAY is not set. */
  readonly tokens: BudgetUse | null;
  readonly unpricedTokens: BudgetUse;
}> {
  const { limits, now } = options;
  const day = localDay(now);
  const ledger = await readLedger(db, day);
  const use = (name: LimitName, limit: number): BudgetUse => ({
    limit,
    spent: ledger[name] - ledger.reserved[name],
    reserved: ledger.reserved[name],
    left: Math.max(0, limit - ledger[name]),
  });
  return {
    day,
    resetsAt: nextLocalMidnight(now),
    nanoUsd: use('nanoUsd', limits.nanoUsd),
    tokens: limits.tokens === null ? null : use('tokens', limits.tokens),
    unpricedTokens: use('unpricedTokens', limits.unpricedTokens),
  };
}
