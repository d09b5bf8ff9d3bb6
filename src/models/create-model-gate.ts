import type { Database } from '../db/database.ts';
import { assertNoLease } from '../db/lease.ts';
import { findModelAnswer } from '../store/model-answers.ts';
import { readTokensPerByte } from '../store/model-calls.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { type BookedCall, createBooking } from './booking.ts';
import { type Breaker, createBreaker, type Patience, type Probe } from './breaker.ts';
import type { Budget } from './budget.ts';
import { createContentBlame, unfitAfter } from './content-blame.ts';
import type { CallFacts, ModelGate, ModelPurpose, Performed } from './model-gate.ts';
import { type Prices, priceOf } from './prices.ts';
import { ModelContentError, ProviderError, ScoreTooLargeError } from './provider-errors.ts';
import { scoresKeyOf } from './scores-key.ts';
import { createSlots, type Slots } from './slots.ts';
import type { CallEnd } from './spent-on.ts';
import { createTokenRate } from './token-rate.ts';

export interface ModelGateOptions {
  readonly db: Database;
  /** The base URL without credentials, path included. */
  readonly endpoint: string;
  readonly model: string;
  /** What the model is chosen by, for advice. */
  readonly modelSetting: string;
  /** What the size of its context window is told by, for advice; unset: by nothing. */
  readonly windowSetting?: string;
  /** Shared with the other gates that the same limit is over. */
  readonly slots: Slots;
  /** One for all gates of the process. */
  readonly budget: Budget;
  readonly prices: Prices;
  /** Longest that `perform` takes. */
  readonly callTimeoutMs: number;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /** 0 to 1. */
  readonly random: () => number;
  /** UUID version 7. */
  readonly newId: () => string;
}

/** Calls in flight while an endpoint and model has not answered yet: what a wrong name or key can cost at a start. */
const slowStart = 4;

/** How long a caller waits for an endpoint to come back before it is told when to come back itself. */
const patienceMs = 10_000;
/** Somebody waits for a search, which does without. */
const urgentPatienceMs = 1000;

/** Requests that one call may send: itself, and probes that fall to it. */
const mostSends = 4;

/** What one attempt came to. */
type Attempt<T> =
  | { readonly kind: 'done'; readonly value: T }
  /** Nothing was sent: wait for a turn again. */
  | { readonly kind: 'again' }
  | { readonly kind: 'failed'; readonly error: ProviderError };

type Perform<T> = (signal: AbortSignal) => Promise<Performed<T>>;

const isScore = (purpose: ModelPurpose): boolean => purpose === 'significance';

export function createModelGate(options: ModelGateOptions): ModelGate {
  const { db, endpoint, model, budget, clock, log, metrics, racepoints } = options;
  const price = priceOf(options.prices, model);
  const starting = createSlots(slowStart);
  const rate = createTokenRate();
  const booking = createBooking({ ...options, price, rate });
  const ofBreakers = {
    db,
    // A little more than the call itself, for what is before and after it.
    probeLimitMs: options.callTimeoutMs + 10_000,
    clock,
    log,
    metrics,
    random: options.random,
    newId: options.newId,
    onOpen: () => starting.resize(slowStart),
  };
  const breaker = createBreaker({ ...ofBreakers, key: { endpoint, model } });
  /** Opens for nothing but answers without a usable score. */
  let breakerOfScores: Breaker | undefined;
  const forScores = () => {
    breakerOfScores ??= createBreaker({
      ...ofBreakers,
      key: scoresKeyOf({ endpoint, model }),
      onOpen: () => undefined,
    });
    return breakerOfScores;
  };
  let learning: Promise<void> | undefined;
  let hasAnswered = false;
  const blame = createContentBlame(() => clock.monotonicMs());
  const blameForScores = createContentBlame(() => clock.monotonicMs());
  const blameOf = (purpose: ModelPurpose) => (isScore(purpose) ? blameForScores : blame);

  if (price === undefined) {
    const { unpricedTokens } = budget.limits;
    log.info(
      { model, endpoint },
      `the price of ${model} is not known: its calls count against ${unpricedTokens.toLocaleString('en-US')} tokens a day (ENGRAMD_BUDGET_TOKENS_PER_DAY); ENGRAMD_PRICES_FILE can tell it, 0 where it is free`,
    );
  }

  /** Once a process, before the first call: what its predecessors saw. */
  function learn(): Promise<void> {
    learning ??= readTokensPerByte(db, { endpoint, model }).then(
      (ratio) => {
        if (ratio !== null) rate.startFrom(ratio);
      },
      (thrown) => {
        learning = undefined;
        throw thrown;
      },
    );
    return learning;
  }

  /** Waits for a place. A probe is alone by its nature and goes first: all others wait for it. */
  async function takePlace(facts: CallFacts, probe: Probe | null, signal: AbortSignal): Promise<() => void> {
    if (probe !== null) return options.slots.acquire({ signal, urgent: true });
    const urgent = facts.urgent === true;
    const leaveStart = await starting.acquire({ signal, urgent });
    try {
      const leave = await options.slots.acquire({ signal, urgent });
      return () => {
        leave();
        leaveStart();
      };
    } catch (thrown) {
      leaveStart();
      throw thrown;
    }
  }

  /** The breaker as one attempt sees it. */
  function turnOf(probe: Probe | null) {
    let isOver = false;
    return {
      probe,
      /** Somebody else has found it out of order since this attempt was let in. */
      isStopped: () => probe === null && breaker.isOpen(),
      async failed(error: ProviderError): Promise<void> {
        isOver = true;
        await breaker.failed(error, probe);
      },
      async answered(isUsable: boolean): Promise<void> {
        if (probe === null || isOver) return;
        isOver = true;
        await breaker.answered(probe, isUsable);
      },
      /** Without a word about the endpoint; does nothing after one. */
      async end(): Promise<void> {
        if (probe === null || isOver) return;
        isOver = true;
        await breaker.gaveUp(probe);
      },
    };
  }
  type Turn = ReturnType<typeof turnOf>;

  async function attempt<T>(
    facts: CallFacts,
    perform: Perform<T>,
    patience: Patience,
    signal: AbortSignal,
  ): Promise<Attempt<T>> {
    const turn = turnOf(await breaker.admit(patience, signal));
    let leave: () => void = () => undefined;
    try {
      leave = await takePlace(facts, turn.probe, signal);
      if (turn.isStopped()) return { kind: 'again' };
      const booked = await booking.reserve(facts, turn.probe?.id ?? null);
      switch (booked.kind) {
        case 'out_of_order':
          breaker.met(booked.breaker);
          return { kind: 'again' };
        case 'over_budget': {
          const never = booking.neverFits(facts);
          if (never !== null) {
            leave();
            await turn.failed(new ProviderError('configuration', never));
            throw breaker.unavailable();
          }
          // Nobody waits for a budget in the place, or with the claim, of one who could go.
          leave();
          await turn.end();
          await booking.makeRoom(facts, signal);
          return { kind: 'again' };
        }
        case 'booked':
          return await send(booked.call, perform, turn, leave, signal);
        default:
          return booked satisfies never;
      }
    } finally {
      leave();
      await turn.end();
    }
  }

  async function send<T>(
    call: BookedCall,
    perform: Perform<T>,
    turn: Turn,
    leave: () => void,
    signal: AbortSignal,
  ): Promise<Attempt<T>> {
    const detail = { id: call.id, purpose: call.facts.purpose, model, bankId: call.facts.bankId };
    await racepoints.reach('call:reserved', detail);
    if (signal.aborted || turn.isStopped()) {
      await booking.settleUnsent(call);
      signal.throwIfAborted();
      return { kind: 'again' };
    }
    const startedMs = clock.monotonicMs();
    let performed: Performed<T>;
    try {
      performed = await perform(signal);
    } catch (thrown) {
      const latencyMs = clock.monotonicMs() - startedMs;
      const end: CallEnd = signal.aborted ? { kind: 'aborted' } : { kind: 'thrown', error: thrown };
      const failure = end.kind === 'thrown' && thrown instanceof ProviderError ? thrown : undefined;
      // Before the place is given back: whoever gets it shall see the breaker open.
      const isTold = failure && turn.failed(failure);
      leave();
      await isTold;
      // A request that was refused for what it says is an answer of the endpoint, and none of the model.
      if (end.kind === 'thrown' && thrown instanceof ModelContentError) await turn.answered(false);
      await booking.settleFailure(call, end, latencyMs);
      if (failure) return { kind: 'failed', error: failure };
      throw end.kind === 'aborted' ? signal.reason : thrown;
    }
    const latencyMs = clock.monotonicMs() - startedMs;
    const isUsable = performed.isUsable !== false;
    if (isUsable) {
      hasAnswered = true;
      blameOf(call.facts.purpose).answered(call.facts.subjectIds);
      if (!turn.isStopped()) starting.resize(Number.POSITIVE_INFINITY);
    }
    leave();
    // A good score is no sign of a good decision: it does not end a rest that came of bad ones.
    await turn.answered(isUsable && !isScore(call.facts.purpose));
    await racepoints.reach('call:answered', detail);
    await booking.settleAnswer(call, performed, latencyMs);
    await racepoints.reach('call:settled', detail);
    return { kind: 'done', value: performed.value };
  }

  function adviceOn({ kind }: ModelContentError, purpose: ModelPurpose): string {
    const { windowSetting } = options;
    const modelSetting = isScore(purpose) ? 'ENGRAMD_LLM_MODEL_SIGNIFICANCE' : options.modelSetting;
    if (kind !== 'too_long' || windowSetting === undefined) return `choose another with ${modelSetting}`;
    return `set ${windowSetting} to what it takes`;
  }

  async function runAny<T>(facts: CallFacts, perform: Perform<T>, signal: AbortSignal): Promise<T> {
    await learn();
    const patience: Patience = { leftMs: facts.urgent === true ? urgentPatienceMs : patienceMs };
    for (let sends = 0; ; ) {
      const tried = await attempt(facts, perform, patience, signal);
      if (tried.kind === 'done') return tried.value;
      if (tried.kind === 'again') continue;
      sends += 1;
      // Whoever checks wants to know how it is now.
      if (sends >= mostSends || facts.purpose === 'check') throw breaker.unavailable(tried.error);
    }
  }

  async function runScore<T>(facts: CallFacts, perform: Perform<T>, signal: AbortSignal): Promise<T> {
    // Before anything is asked or opened: the same model has room for what else it does.
    const never = booking.neverFits(facts);
    if (never !== null) throw new ScoreTooLargeError(never);
    const probe = await forScores().admit({ leftMs: patienceMs }, signal);
    let isUsable = false;
    const watched: Perform<T> = async (within) => {
      const performed = await perform(within);
      isUsable = performed.isUsable !== false;
      return performed;
    };
    try {
      return await runAny(facts, watched, signal);
    } finally {
      if (probe !== null) await forScores().answered(probe, isUsable);
    }
  }

  return {
    endpoint,
    model,
    async run(facts, perform, signal) {
      assertNoLease('a model call');
      signal.throwIfAborted();
      return isScore(facts.purpose) ? runScore(facts, perform, signal) : runAny(facts, perform, signal);
    },
    async misconfigured(message, signal) {
      const probe = await breaker.admit({ leftMs: 0 }, signal);
      await breaker.failed(new ProviderError('configuration', message), probe);
      return breaker.unavailable();
    },
    storedAnswer: (bankId, requestHash) => findModelAnswer(db, bankId, requestHash),
    async readyAt(purpose = 'consolidate') {
      const own = isScore(purpose) ? await forScores().readyAt() : null;
      return (await breaker.readyAt()) ?? own ?? (await booking.readyAt(purpose));
    },
    hasAnswered: () => hasAnswered,
    tokensOf: (text) => Math.ceil(Buffer.byteLength(text) * rate.tokensPerByte()),
    async contentFailed(error, about, purpose = 'consolidate') {
      const verdict = blameOf(purpose).failed(about, error.sentAtMs);
      switch (verdict) {
        case 'content':
          return 'memory';
        case 'model':
          return 'model';
        case 'unfit':
          await (isScore(purpose) ? forScores() : breaker).unfit(
            `${model} answers, but with nothing usable for ${unfitAfter} memories in a row (the last: ${error.kind}); ${adviceOn(error, purpose)}`,
          );
          return 'model';
        default:
          return verdict satisfies never;
      }
    },
  };
}
