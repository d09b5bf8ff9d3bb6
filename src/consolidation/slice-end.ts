import { ModelUnavailableError } from '../models/provider-errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { SliceOutcome } from './engine.ts';
import { failureOf } from './failures.ts';

/** An outside service that fails without a word about when is left alone this long, and up to twice as long by chance. */
const deferMs = 30_000;

/** Why and until when a slice ends. Once it has an outcome nothing more is selected. */
export class SliceEnd {
  readonly #deps: { readonly clock: Clock; readonly random: () => number; readonly log: Log };
  #outcome: SliceOutcome | null = null;
  #retryAt: Date | null = null;
  #fatal: unknown;

  constructor(deps: { readonly clock: Clock; readonly random: () => number; readonly log: Log }) {
    this.#deps = deps;
  }

  get outcome(): SliceOutcome | null {
    return this.#outcome;
  }

  get retryAt(): Date | null {
    return this.#outcome === 'deferred' ? this.#retryAt : null;
  }

  /** What the slice throws once everything in flight has ended; undefined: nothing. */
  get fatal(): unknown {
    return this.#fatal;
  }

  /** Whether the batches in flight may still send something: only time is up, or another bank waits. */
  get mayFinish(): boolean {
    return this.#outcome === null || this.#outcome === 'time_up' || this.#outcome === 'yielded';
  }

  /** The first reason stands. */
  say(outcome: SliceOutcome): void {
    this.#outcome ??= outcome;
  }

  /** The bank is gone, whatever else there was: nothing can follow. */
  bankGone(): void {
    this.#outcome = 'bank_gone';
  }

  /**
   * Until the earliest time that anybody has named: who was told a later one finds out then, and at no cost, since the
   * decider is asked whether it is ready before anything is begun.
   */
  defer(retryAt: Date): void {
    // Time being up would bring a successor at once, to the same closed door.
    if (this.mayFinish) this.#outcome = 'deferred';
    if (this.#retryAt === null || retryAt < this.#retryAt) this.#retryAt = retryAt;
  }

  /** An outage ends the slice without blame on any memory; the database's own ends it with an error. True: handled. */
  absorb(thrown: unknown): boolean {
    const failure = failureOf(thrown);
    switch (failure.kind) {
      case 'content':
        return false;
      case 'database':
        this.fail(thrown);
        return true;
      case 'outage': {
        const { clock, random, log } = this.#deps;
        const isFirst = this.#outcome !== 'deferred';
        const retryAt = failure.retryAt ?? new Date(clock.now().getTime() + deferMs * (1 + random()));
        this.defer(retryAt);
        // Sixty-four calls meet one outage; and a model out of order was said when it went out of order, not at each look
        // of an hour.
        const isSaid = thrown instanceof ModelUnavailableError;
        const level = isFirst ? (isSaid ? 'info' : 'warn') : 'debug';
        log[level]({ error: errorMessage(thrown), code: failure.code, retryAt }, 'consolidation deferred');
        return true;
      }
      default:
        return failure satisfies never;
    }
  }

  /** What no retry by rows can mend. */
  fail(thrown: unknown): void {
    this.#fatal ??= thrown;
    this.say('deferred');
  }
}
