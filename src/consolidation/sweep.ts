import { setImmediate as yieldToRequests } from 'node:timers/promises';
import { BuildBankGoneError, BuildTooLongError, BuildWaitTimeoutError } from '../builds/build-outcome.ts';
import { RetryLaterError } from '../models/provider-errors.ts';
import {
  beforeAllRows,
  type ChangedObservation,
  type ChangeMark,
  type ChangePlace,
  changedObservations,
  countChanged,
  moveChangeMark,
  readChangeMark,
} from '../store/changed-observations.ts';
import type { ReadonlyNeighbours } from '../store/neighbours/neighbour-lists.ts';
import { loadRelated } from '../store/related-observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import { readScopeEpoch } from '../store/scopes.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { applyGroups } from './apply.ts';
import type { Judgement } from './decider.ts';
import { decisionKey } from './decision-key.ts';
import type { EngineDeps } from './dependencies.ts';
import type { SweepReport, SweepRequest } from './engine.ts';
import { judgePair } from './pair-verdict.ts';
import type { PlannedOp } from './plan.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';
import { LookedAt, pairsOf, type SweepPair } from './sweep-pairs.ts';

/** Observations read at once, and then looked at side by side. */
const pageRows = 16;
/** From so many changed observations on, lists of all neighbours cost less than asking the index about each. */
const manyRows = 512;
/** Something was folded into the twin meanwhile: a fold is tried so often before it is left to the next sweep. */
const foldRounds = 3;

/**
 * Looks for observations that say the same, among those that changed since the last sweep and what is near to them in
 * their scope, and folds the younger into the older: what two batches side by side, or two wordings of one day, have left.
 *
 * Can be ended at any time: the next sweep goes on where this one came to. Holds no connection while it asks (law L1).
 */
export async function sweepDuplicates(deps: EngineDeps, request: SweepRequest): Promise<SweepReport> {
  return new Sweep(deps, request).run();
}

interface JudgedPair {
  readonly pair: SweepPair;
  readonly judgement: Judgement;
  /** Of the scope, before the decider was asked. */
  readonly scopeEpoch: number;
}

class Sweep {
  readonly #deps: EngineDeps;
  readonly #request: SweepRequest;
  readonly #looked = new LookedAt();
  /**
   * Folded by this sweep, or proposed to be: what was said of them beside others was said of what they no longer are, or
   * will not be.
   */
  readonly #settled = new Set<string>();
  #runId: string | null = null;
  #pairs = 0;
  #folds = 0;
  #proposed = 0;
  #missed = 0;
  #rows = 0;

  constructor(deps: EngineDeps, request: SweepRequest) {
    this.#deps = deps;
    this.#request = request;
  }

  async run(): Promise<SweepReport> {
    try {
      return this.#report(await this.#sweep());
    } catch (thrown) {
      if (this.#request.signal.aborted) return this.#report({ outcome: 'deferred', retryAt: null });
      // The budget or the endpoint: nobody's fault, and found out again by whoever asks next.
      if (thrown instanceof RetryLaterError) return this.#report({ outcome: 'deferred', retryAt: thrown.retryAt });
      throw thrown;
    } finally {
      await this.#finishRun();
    }
  }

  async #sweep(): Promise<Pick<SweepReport, 'outcome' | 'retryAt'>> {
    const { db } = this.#deps;
    const { bankId, signal } = this.#request;
    const mark = await readChangeMark(db, 'sweep_marks', bankId);
    if (mark === null) return { outcome: 'done', retryAt: null };
    const lists = await this.#listsFor(mark);
    // What the lists have seen comes first in the order of changes; of what came after them the index is asked.
    const stages = [...(lists === null ? [] : [{ upTo: lists.seenXid, lists }]), { upTo: mark.horizon, lists: null }];
    let { seen } = mark;
    for (const { upTo, lists: known } of stages) {
      for (;;) {
        const page = await changedObservations(db, bankId, { seen, horizon: upTo, limit: pageRows });
        const last = page.at(-1);
        if (!last) break;
        if (this.#request.limit !== undefined && this.#pairs >= this.#request.limit) {
          return { outcome: 'deferred', retryAt: null };
        }
        signal.throwIfAborted();
        await this.#lookAt(page, known);
        seen = { xid: last.changedBy, id: last.id };
      }
    }
    await this.#moveMark({ xid: mark.horizon, id: beforeAllRows });
    return { outcome: 'done', retryAt: null };
  }

  /** Not past a fold that missed: what stood in its way is looked at again, by the next sweep. */
  async #moveMark(seen: ChangePlace): Promise<void> {
    if (this.#missed > 0) return;
    await moveChangeMark(this.#deps.db, 'sweep_marks', this.#request.bankId, seen);
  }

  async #pass(rows: readonly ChangedObservation[]): Promise<void> {
    const last = rows.at(-1);
    if (!last) return;
    await this.#moveMark({ xid: last.changedBy, id: last.id });
    if (this.#missed === 0) this.#rows += rows.length;
  }

  async #listsFor(mark: ChangeMark): Promise<ReadonlyNeighbours | null> {
    const { bankId, signal, neighbours } = this.#request;
    const changed = await countChanged(this.#deps.db, bankId, { ...mark, upTo: manyRows });
    if (changed < manyRows) return null;
    try {
      return await neighbours.of(bankId, this.#deps.embedder.model.id, { signal });
    } catch (thrown) {
      // Nothing is left to look at, and the next page says so.
      if (thrown instanceof BuildBankGoneError) return null;
      if (!(thrown instanceof BuildWaitTimeoutError || thrown instanceof BuildTooLongError)) throw thrown;
      // The lists only make it cheaper: the index knows the same.
      this.#deps.log.warn({ bankId, error: errorMessage(thrown) }, 'the search for duplicates goes on without lists');
      return null;
    }
  }

  async #lookAt(page: readonly ChangedObservation[], lists: ReadonlyNeighbours | null): Promise<void> {
    const pairs = await pairsOf(this.#deps, this.#request.bankId, page, { lists, looked: this.#looked });
    const { judged, failure } = await this.#judge(pairs);
    if (failure !== null) {
      // However short the time is, each sweep gets on: rows of which nothing is left to do are passed.
      const settled = new Set(judged.flatMap(({ pair, judgement }) => (judgement.verdict === 'same' ? [] : [pair])));
      const open = new Set(pairs.flatMap((pair) => (settled.has(pair) ? [] : [pair.rowId])));
      const first = page.findIndex((row) => open.has(row.id));
      await this.#pass(first < 0 ? page : page.slice(0, first));
      throw failure.thrown;
    }
    const same = judged.filter(({ judgement }) => judgement.verdict === 'same');
    for (const one of same.sort(byAge)) {
      const { older, younger } = one.pair;
      if (this.#settled.has(older.id) || this.#settled.has(younger.id)) continue;
      await this.#fold(one);
    }
    await this.#pass(page);
  }

  /** Side by side, in turn with the batches of slices; after a failure nothing more is asked, and what was is waited for. */
  async #judge(
    pairs: readonly SweepPair[],
  ): Promise<{ readonly judged: readonly JudgedPair[]; readonly failure: { readonly thrown: unknown } | null }> {
    const { bankId, signal } = this.#request;
    const { db, turns } = this.#deps;
    const epochs = new Map<string, number>();
    for (const { tags } of pairs) {
      const scope = JSON.stringify(tags);
      if (!epochs.has(scope)) epochs.set(scope, await readScopeEpoch(db, bankId, tags));
    }
    const failures: { readonly thrown: unknown }[] = [];
    const judged = await Promise.all(
      pairs.map(async (pair): Promise<JudgedPair | null> => {
        let giveBack: (() => void) | null = null;
        try {
          giveBack = await turns.take(signal);
          if (failures.length > 0) return null;
          await yieldToRequests();
          this.#pairs += 1;
          const subjectIds = [pair.older.id, pair.younger.id];
          const options = { signal, bankId, subjectIds, scope: pair.tags };
          const judgement = await judgePair(this.#deps, pair.judged, options);
          return { pair, judgement, scopeEpoch: epochs.get(JSON.stringify(pair.tags)) ?? 0 };
        } catch (thrown) {
          failures.push({ thrown });
          return null;
        } finally {
          giveBack?.();
        }
      }),
    );
    return { judged: judged.filter((one) => one !== null), failure: failures[0] ?? null };
  }

  async #fold(judged: JudgedPair): Promise<void> {
    for (let round = 0; round < foldRounds; round += 1) {
      const outcome = await this.#foldOnce(judged);
      if (outcome === 'gone') return;
      if (outcome !== 'missed') {
        if (outcome === 'folded') this.#folds += 1;
        else this.#proposed += 1;
        this.#settled.add(judged.pair.younger.id);
        return;
      }
      if (!(await this.#stillReads(judged.pair))) break;
    }
    this.#missed += 1;
  }

  /** By the same guards and locks, with the same history, as any other change (laws L2 to L4). */
  async #foldOnce({ pair, judgement, scopeEpoch }: JudgedPair): Promise<'folded' | 'proposed' | 'missed' | 'gone'> {
    const { decider, embedder, metrics, newId } = this.#deps;
    const { bankId, signal } = this.#request;
    signal.throwIfAborted();
    const runId = await this.#startRun();
    if (runId === null) return 'gone';
    const { older, younger, tags } = pair;
    const fold: PlannedOp = {
      op: 'fold',
      target: { id: younger.id, seen: { text: younger.text, version: younger.version } },
      into: { id: older.id, seen: { text: older.text, version: older.version } },
      reason: judgement.reason,
    };
    const result = await applyGroups(this.#deps, {
      bankId,
      runId,
      changeSetId: newId(),
      attemptId: null,
      decider: decider.name,
      decidedBy: decisionKey(decider),
      tags,
      embeddingModel: embedder.model.id,
      scopeEpoch,
      repeatSimilarity: repeatSimilarityOf(embedder.model),
      groups: [{ ops: [fold], memberIds: [] }],
      rejected: [],
      shown: { memoryIds: [], observationIds: [older.id, younger.id], scopeEpoch },
      kind: 'sweep',
    });
    if (result.bankGone) return 'gone';
    const [miss] = result.missed;
    if (miss) {
      metrics.replans.inc({ reason: miss.reason });
      return 'missed';
    }
    if (result.applied.length === 0) return 'proposed';
    metrics.ops.inc({ op: 'fold' });
    return 'folded';
  }

  /** Whether the verdict is still about what stands there. */
  async #stillReads({ older, younger, tags }: SweepPair): Promise<boolean> {
    const ids = [older.id, younger.id];
    const rows = await loadRelated(this.#deps.db, { bankId: this.#request.bankId, tags, ids });
    const texts = new Map(rows.map((row) => [row.id, row.text]));
    return texts.get(older.id) === older.text && texts.get(younger.id) === younger.text;
  }

  /** Null: the bank is gone. */
  async #startRun(): Promise<string | null> {
    if (this.#runId !== null) return this.#runId;
    const { db, instanceId, newId } = this.#deps;
    const id = newId();
    const started = await insertRun(db, { bankId: this.#request.bankId, id, trigger: 'sweep', instanceId });
    if (!started) return null;
    this.#runId = id;
    return id;
  }

  async #finishRun(): Promise<void> {
    if (this.#runId === null) return;
    const run = { bankId: this.#request.bankId, id: this.#runId, outcome: 'drained' };
    const proposed = this.#proposed > 0 ? { proposed: this.#proposed } : {};
    const counts = { pairs: this.#pairs, ops: { fold: this.#folds }, ...proposed };
    await finishRun(this.#deps.db, { ...run, counts });
  }

  #report(end: Pick<SweepReport, 'outcome' | 'retryAt'>): SweepReport {
    const counts = { rows: this.#rows, pairs: this.#pairs, folds: this.#folds, proposed: this.#proposed };
    return { ...end, ...counts, missed: this.#missed };
  }
}

/** The oldest first, so that what several say is reached through the oldest of them. */
function byAge({ pair: a }: JudgedPair, { pair: b }: JudgedPair): number {
  const keys = [`${a.older.id}/${a.younger.id}`, `${b.older.id}/${b.younger.id}`] as const;
  return keys[0] < keys[1] ? -1 : keys[0] > keys[1] ? 1 : 0;
}
