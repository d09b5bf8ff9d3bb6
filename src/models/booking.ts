import type { Database } from '../db/database.ts';
import type { Amounts, DayLimits } from '../store/budget-ledger.ts';
import { type Reserved, reserveCall, type Settlement, settleCall } from '../store/model-calls.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Budget, limitsFor } from './budget.ts';
import { keepable } from './keepable-answer.ts';
import type { CallFacts, ModelPurpose, Performed, TokenUsage } from './model-gate.ts';
import { amountsOf, type Price, reservationOf } from './prices.ts';
import { BudgetSpentError, ModelContentError, ProviderError } from './provider-errors.ts';
import { type CallEnd, nothingSpent, promptTokensOf, spentOn } from './spent-on.ts';
import type { TokenRate } from './token-rate.ts';

/** A call that money is set aside for. */
export interface BookedCall {
  readonly id: string;
  readonly facts: CallFacts;
  readonly most: Amounts;
  readonly settled: (ledger: Amounts | null) => void;
}

/** Reserves before, settles after (law L19), for one endpoint and model. */
export interface Booking {
  /** One statement: checks breaker and budget, and reserves. */
  reserve(
    facts: CallFacts,
    probeId: string | null,
  ): Promise<{ readonly kind: 'booked'; readonly call: BookedCall } | Exclude<Reserved, { kind: 'reserved' }>>;
  /** Why no day has room for a call of that size, and what to change; null: one may have. */
  neverFits(facts: CallFacts): string | null;
  /**
   * After a refusal: returns where a call of that size is worth another try.
   *
   * @throws BudgetSpentError
   */
  makeRoom(facts: CallFacts, signal: AbortSignal): Promise<void>;
  settleAnswer(call: BookedCall, performed: Performed<unknown>, latencyMs: number): Promise<void>;
  settleFailure(call: BookedCall, end: CallEnd, latencyMs: number): Promise<void>;
  settleUnsent(call: BookedCall): Promise<void>;
  /** Null: there is room for a call as small as the smallest that was refused today, of those with the same limits. */
  readyAt(purpose: ModelPurpose): Promise<Date | null>;
}

/** Room for what is reserved comes with the next settlement of another daemon. */
const reservedElsewhereMs = 30_000;

const leastUsage: TokenUsage = { promptTokens: 1, cachedTokens: 0, outputTokens: 0 };

export function createBooking(deps: {
  readonly db: Database;
  readonly endpoint: string;
  readonly model: string;
  readonly budget: Budget;
  readonly price: Price | undefined;
  readonly rate: TokenRate;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly newId: () => string;
}): Booking {
  const { db, endpoint, model, budget, price, rate, clock, log, metrics } = deps;
  /** The smallest call that today had no room for: scores are held to limits of their own. */
  const refused = new Map<'scores' | 'others', { readonly day: string; readonly wanted: Amounts }>();
  const kindOf = (purpose: ModelPurpose) => (purpose === 'significance' ? 'scores' : 'others');

  /** Null: what was reserved. */
  function amountsSpent(facts: CallFacts, end: CallEnd): Amounts | null {
    const spent = spentOn(end);
    switch (spent) {
      case 'nothing':
        return nothingSpent;
      case 'reservation':
        return null;
      case 'prompt': {
        const promptTokens = promptTokensOf(facts.promptBytes, rate.tokensPerByte());
        return amountsOf({ promptTokens, cachedTokens: 0, outputTokens: 0 }, price);
      }
      default:
        return spent satisfies never;
    }
  }

  /** What was paid for is not lost over a number that a counter would not take. */
  function count({ facts }: BookedCall, outcome: string, spent: Amounts, more: () => void = () => undefined): void {
    const labels = { purpose: facts.purpose, model };
    try {
      metrics.modelCalls.inc({ ...labels, outcome });
      metrics.modelCost.inc(labels, spent.nanoUsd / 1e9);
      more();
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), model }, 'a call could not be counted in the metrics');
    }
  }

  /** What was paid for is not thrown away because it could not be booked: unsettled is spent (law L19). */
  async function settle(
    { id, facts, settled }: BookedCall,
    end: Omit<Settlement, 'id' | 'requestHash' | 'subjectIds'>,
  ): Promise<void> {
    const { bankId, requestHash, subjectIds } = facts;
    let ledger: Amounts | null = null;
    try {
      const latencyMs = Math.round(end.latencyMs);
      ledger = await settleCall(db, bankId, { ...end, latencyMs, id, requestHash, subjectIds });
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), model }, 'a call could not be settled; it stays booked as reserved');
    } finally {
      settled(ledger);
    }
  }

  return {
    async reserve(facts, probeId) {
      const id = deps.newId();
      const most = reservationOf(facts, price);
      const { purpose, requestHash, memories, promptBytes } = facts;
      const { instanceId } = deps;
      const day = budget.today();
      const reserved = await reserveCall(
        db,
        facts.bankId,
        { id, day, instanceId, endpoint, model, purpose, requestHash, memories, promptBytes, most, probeId },
        limitsFor(budget.limits, purpose),
      );
      if (reserved.kind !== 'reserved') return reserved;
      return { kind: 'booked', call: { id, facts, most, settled: budget.reserved(reserved.ledger) } };
    },

    neverFits(facts) {
      const wanted = reservationOf(facts, price);
      const { purpose } = facts;
      const limit = budget.neverFits(wanted, purpose);
      return limit === null ? null : neverFitsLine({ model, wanted, limit, limits: budget.limits, purpose });
    },

    async makeRoom(facts, signal) {
      const wanted = reservationOf(facts, price);
      const refusal = await budget.explainRefusal(wanted, facts.purpose);
      switch (refusal.kind) {
        case 'fits':
          return;
        case 'reserved_elsewhere':
          // What calls of this process do not use is free in a moment. Work that waited for midnight instead would leave
          // most of a budget unspent, since few calls use a tenth of what they reserve.
          if (budget.inFlight() > 0) return budget.nextSettlement(signal);
          throw new BudgetSpentError(
            `what is left of the day's budget is reserved by calls under way (${model})`,
            new Date(clock.now().getTime() + reservedElsewhereMs),
          );
        case 'spent': {
          const day = budget.today();
          const kind = kindOf(facts.purpose);
          const before = refused.get(kind);
          if (before?.day !== day || wanted.tokens < before.wanted.tokens) refused.set(kind, { day, wanted });
          const what =
            kind === 'scores'
              ? `scores stop at half of the day's budget, which has no room for another call`
              : `the day's budget has no room for another call`;
          throw new BudgetSpentError(
            `${what} of ${model} (ENGRAMD_BUDGET_USD_PER_DAY, ENGRAMD_BUDGET_TOKENS_PER_DAY)`,
            refusal.retryAt,
          );
        }
        default:
          return refusal satisfies never;
      }
    },

    async settleAnswer(call, performed, latencyMs) {
      const { usage } = performed;
      const { purpose, promptBytes } = call.facts;
      const spent = usage && amountsOf(usage, price);
      if (usage) rate.observe(promptBytes, usage.promptTokens);
      count(call, 'ok', spent ?? call.most, () => {
        metrics.modelCallSeconds.observe({ purpose, model }, latencyMs / 1000);
        if (!usage) return;
        metrics.modelTokens.inc({ purpose, model, kind: 'prompt' }, usage.promptTokens);
        metrics.modelTokens.inc({ purpose, model, kind: 'cached' }, usage.cachedTokens);
        metrics.modelTokens.inc({ purpose, model, kind: 'output' }, usage.outputTokens);
      });
      const answerJson = performed.answer === undefined ? null : keepable(performed.answer);
      await settle(call, { outcome: 'ok', latencyMs, spent, usage, answerJson });
    },

    async settleFailure(call, end, latencyMs) {
      const outcome = outcomeOf(end);
      const spent = amountsSpent(call.facts, end);
      count(call, outcome, spent ?? call.most);
      await settle(call, { outcome, latencyMs, spent, usage: null, answerJson: null });
    },

    settleUnsent: (call) =>
      settle(call, { outcome: 'not_sent', latencyMs: 0, spent: nothingSpent, usage: null, answerJson: null }),

    readyAt(purpose) {
      const last = refused.get(kindOf(purpose));
      return budget.readyAt(last?.day === budget.today() ? last.wanted : amountsOf(leastUsage, price), purpose);
    },
  };
}

/** Tomorrow is no better than today, so what to change is said. */
export function neverFitsLine(of: {
  readonly model: string;
  readonly wanted: Amounts;
  readonly limit: keyof Amounts;
  /** Of the whole day. */
  readonly limits: DayLimits;
  readonly purpose: ModelPurpose;
}): string {
  const { model, wanted, limit, purpose } = of;
  const limits = limitsFor(of.limits, purpose);
  const has = purpose === 'significance' ? 'the half of a day that scores may spend has' : 'a whole day has';
  return limit === 'nanoUsd'
    ? `one call of ${model} may cost $${(wanted.nanoUsd / 1e9).toFixed(4)} and ${has} $${limits.nanoUsd / 1e9}: raise ENGRAMD_BUDGET_USD_PER_DAY`
    : `one call of ${model} may take ${wanted.tokens} tokens and ${has} ${limits[limit]}: raise ENGRAMD_BUDGET_TOKENS_PER_DAY`;
}

/** A closed set: it is a label of metrics. */
function outcomeOf(end: CallEnd): string {
  if (end.kind === 'aborted') return 'aborted';
  if (end.error instanceof ProviderError) return end.error.errorClass;
  if (end.error instanceof ModelContentError) return 'content';
  return 'failed';
}
