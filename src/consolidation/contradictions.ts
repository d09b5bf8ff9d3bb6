import type { Tx } from '../db/database.ts';
import { currentEmbedder } from '../models/embedder.ts';
import { RetryLaterError } from '../models/provider-errors.ts';
import { type LockedObservation, lockBank, lockObservations } from '../store/apply-locks.ts';
import { insertConflicts, insertEvents } from '../store/apply-writes.ts';
import { type ConflictImage, emptyOp, insertChangeSet } from '../store/change-ops.ts';
import {
  beforeAllRows,
  type ChangedObservation,
  changedObservations,
  moveChangeMark,
  readChangeMark,
} from '../store/changed-observations.ts';
import { conflictedWith } from '../store/contradiction-pairs.ts';
import { loadRelated, type RelatedObservation } from '../store/related-observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import type { ContradictionsReport } from './engine.ts';
import { sameScope } from './guards.ts';
import { judgePair } from './pair-verdict.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';

/** Nearest neighbours that an observation is judged beside. */
const nearest = 5;
/** Observations read at once. */
const pageRows = 64;

interface FindRequest {
  readonly bankId: string;
  readonly signal: AbortSignal;
  /** Pairs to put before the decider; default: all there are. Up to four more, since a row is looked at as a whole. */
  readonly limit?: number;
}

/**
 * Looks for observations that cannot both hold, among those that changed since the last search and what is near to them
 * in their scope, and lists each pair as a conflict. What a newer date explains is no contradiction, and is left alone.
 *
 * Can be ended at any time: the next search goes on where this one came to. Holds no connection while it asks (law L1).
 */
export async function findContradictions(deps: ConsolidationDeps, request: FindRequest): Promise<ContradictionsReport> {
  // One embedding model throughout: vectors of rows are compared with those of others.
  return new Search({ ...deps, embedder: await currentEmbedder(deps.embedder) }, request).run();
}

class Search {
  readonly #deps: ConsolidationDeps;
  readonly #request: FindRequest;
  readonly #looked = new Set<string>();
  #runId: string | null = null;
  #pairs = 0;
  #conflicts = 0;

  constructor(deps: ConsolidationDeps, request: FindRequest) {
    this.#deps = deps;
    this.#request = request;
  }

  async run(): Promise<ContradictionsReport> {
    try {
      return this.#report(await this.#search());
    } catch (thrown) {
      if (this.#request.signal.aborted) return this.#report({ outcome: 'deferred', retryAt: null });
      // The budget or the endpoint: nobody's fault, and found out again by whoever asks next.
      if (thrown instanceof RetryLaterError) return this.#report({ outcome: 'deferred', retryAt: thrown.retryAt });
      throw thrown;
    } finally {
      await this.#finishRun();
    }
  }

  async #search(): Promise<Pick<ContradictionsReport, 'outcome' | 'retryAt'>> {
    const { db } = this.#deps;
    const { bankId, limit } = this.#request;
    const mark = await readChangeMark(db, 'contradiction_marks', bankId);
    if (mark === null) return { outcome: 'done', retryAt: null };
    const { horizon } = mark;
    let seen = mark.seen;
    for (;;) {
      const page = await changedObservations(db, bankId, { seen, horizon, limit: pageRows });
      for (const row of page) {
        if (limit !== undefined && this.#pairs >= limit) return { outcome: 'deferred', retryAt: null };
        await this.#lookAt(row);
        seen = { xid: row.changedBy, id: row.id };
        await moveChangeMark(db, 'contradiction_marks', bankId, seen);
      }
      if (page.length < pageRows) break;
    }
    await moveChangeMark(db, 'contradiction_marks', bankId, { xid: horizon, id: beforeAllRows });
    return { outcome: 'done', retryAt: null };
  }

  async #lookAt(row: ChangedObservation): Promise<void> {
    const { db, vectors, embedder } = this.#deps;
    const { bankId } = this.#request;
    const model = embedder.model.id;
    const [hits = []] = await vectors.nearest([
      {
        bankId,
        target: 'observations',
        model,
        vector: row.embedding,
        limit: nearest + 1,
        scope: row.tags,
        liveOnly: true,
      },
    ]);
    const similarity = new Map(hits.map((hit) => [hit.id, hit.similarity]));
    const near = hits
      .filter((hit) => hit.id !== row.id && hit.similarity >= repeatSimilarityOf(embedder.model))
      .map((hit) => hit.id);
    const known = await conflictedWith(db, bankId, row.id, near);
    const ids = near.filter((id) => !known.has(id));
    const others = await loadRelated(db, { bankId, tags: row.tags, ids });
    for (const other of others) await this.#judge(row, other, similarity.get(other.id) ?? 0);
  }

  async #judge(row: ChangedObservation, other: RelatedObservation, similarity: number): Promise<void> {
    const { bankId, signal } = this.#request;
    signal.throwIfAborted();
    // Ids sort by time: the one that was there first is held, whichever of them changed.
    const [held, offered] = row.id < other.id ? [row, other] : [other, row];
    const key = `${held.id}/${offered.id}`;
    if (this.#looked.has(key)) return;
    this.#looked.add(key);
    this.#pairs += 1;
    const { verdict, reason } = await judgePair(
      this.#deps,
      {
        held: { text: held.text, validFrom: held.validFrom },
        offered: { text: offered.text, validFrom: offered.validFrom },
        similarity,
      },
      { signal, bankId, subjectIds: [held.id, offered.id], scope: row.tags },
    );
    if (verdict !== 'contradicts') return;
    const runId = await this.#startRun();
    if (runId === null) return;
    const listed = await this.#deps.db.tx({ label: 'contradiction' }, (tx) =>
      this.#list(tx, { runId, held, offered, tags: row.tags, reason }),
    );
    if (listed) this.#conflicts += 1;
  }

  /** True where the pair is listed by now because of this: both are still there and say what was judged. */
  async #list(
    tx: Tx,
    pair: {
      readonly runId: string;
      readonly held: { readonly id: string; readonly text: string };
      readonly offered: { readonly id: string; readonly text: string };
      readonly tags: readonly string[];
      readonly reason: string;
    },
  ): Promise<boolean> {
    const { bankId } = this.#request;
    const { held, offered, reason } = pair;
    if (!(await lockBank(tx, bankId, 'shared'))) return false;
    const locked = await lockObservations(tx, bankId, [held.id, offered.id], []);
    const [left, right] = [locked.get(held.id), locked.get(offered.id)];
    if (!left || !right || !stands(left, held.text, pair.tags) || !stands(right, offered.text, pair.tags)) return false;
    if ((await conflictedWith(tx, bankId, held.id, [offered.id])).size > 0) return false;

    const conflict: ConflictImage = {
      id: this.#deps.newId(),
      left: held.id,
      right: offered.id,
      status: 'open',
      reason,
      resolution: null,
      createdAt: null,
      resolvedAt: null,
      changeSetId: null,
    };
    const changeSetId = this.#deps.newId();
    await insertConflicts(tx, bankId, [conflict]);
    // Both rows stay as they are; the images are there to be read, and undo finds the conflict alone to take away.
    await insertChangeSet(
      tx,
      {
        bankId,
        id: changeSetId,
        runId: pair.runId,
        decider: this.#deps.decider.name,
        status: 'applied',
        reason: null,
        kind: 'contradictions',
      },
      [
        {
          ...emptyOp,
          op: 'conflict',
          status: 'applied',
          targetId: held.id,
          baseVersion: left.image.version,
          resultId: offered.id,
          observationIds: [held.id, offered.id],
          before: { target: left.image, repointed: [right.image], links: [] },
          after: {
            target: left.image,
            created: null,
            repointed: [right.image],
            links: [],
            conflictId: conflict.id,
            conflicts: [conflict],
          },
          reason,
        },
      ],
    );
    await insertEvents(tx, bankId, [
      {
        kind: 'observation.conflicted',
        memoryId: null,
        observationId: held.id,
        changeSetId,
        detail: { by: offered.id },
      },
    ]);
    return true;
  }

  /** Null: the bank is gone. */
  async #startRun(): Promise<string | null> {
    if (this.#runId !== null) return this.#runId;
    const { db, instanceId, newId } = this.#deps;
    const id = newId();
    const started = await insertRun(db, { bankId: this.#request.bankId, id, trigger: 'contradictions', instanceId });
    if (!started) return null;
    this.#runId = id;
    return id;
  }

  async #finishRun(): Promise<void> {
    if (this.#runId === null) return;
    const run = { bankId: this.#request.bankId, id: this.#runId, outcome: 'drained' };
    await finishRun(this.#deps.db, { ...run, counts: { pairs: this.#pairs, ops: { conflict: this.#conflicts } } });
  }

  #report(end: Pick<ContradictionsReport, 'outcome' | 'retryAt'>): ContradictionsReport {
    return { ...end, pairs: this.#pairs, conflicts: this.#conflicts };
  }
}

function stands(row: LockedObservation, text: string, tags: readonly string[]): boolean {
  return row.isLive && row.image.needsReplanAt === null && row.image.text === text && sameScope(row.tags, tags);
}
