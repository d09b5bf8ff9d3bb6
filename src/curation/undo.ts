import { holdModel } from '../consolidation/hold-model.ts';
import type { Database, Queryable, Tx } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import { lockBank, lockMemories, lockObservations } from '../store/apply-locks.ts';
import { insertEvents, type TimelineEvent } from '../store/apply-writes.ts';
import { type ChangeOpRow, insertChangeSet } from '../store/change-ops.ts';
import {
  lockSets,
  opsOfSets,
  opsSince,
  orderOps,
  type ReviewedOp,
  refreshSetStatuses,
  setOpStatuses,
  setsNamed,
} from '../store/change-review.ts';
import { deleteConflicts, lockConflicts, writeConflicts } from '../store/conflicts.ts';
import { lockScopes } from '../store/erasure.ts';
import { linksBetween, linksOn } from '../store/evidence.ts';
import { markWriter } from '../store/memories.ts';
import { moveMemories, readMemoryStates } from '../store/memory-states.ts';
import { deleteLinks, restoreLinks, scopesOf, updateObservations } from '../store/observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import { advanceScope } from '../store/scopes.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { type Chosen, choose, type Named } from './named.ts';
import { planUndo, type UndoWrites } from './plan-undo.ts';
import { CurationContendedError, NothingNamedError, RefusedError } from './refusals.ts';
import { changedIds, conflictIds, createdId, movedLinks, settledIds } from './touched.ts';

export interface UndoDeps {
  readonly db: Database;
  readonly embedder: Embedder;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}

export interface UndoReport {
  /** The run whose change sets are the undo; undo that to have everything back. */
  readonly runId: string;
  readonly changeSets: readonly { readonly id: string; readonly undoes: string; readonly ops: number }[];
  /** Memories put aside; `consolidate --held` brings them back. */
  readonly held: readonly string[];
  /** Memories that an undo had put aside and that are consolidated again: only where an undo was undone. */
  readonly consolidated: readonly string[];
}

/** A change of model during an undo costs one more round; more than a few are somebody else's fault. */
const rounds = 4;

/**
 * Takes back an op with its group, a change set or a run: exactly, and all of it or nothing. What was written stays in the
 * history; the undo is one more change set, and can be undone.
 *
 * @throws NothingNamedError, RefusedError with what stands on it, CurationContendedError; what the embedder throws
 */
export async function undoChanges(
  deps: UndoDeps,
  request: Named & { readonly signal: AbortSignal },
): Promise<UndoReport> {
  const vectors = new Map<string, Float32Array>();
  for (let round = 0; round < rounds; round += 1) {
    request.signal.throwIfAborted();
    const chosen = await choose(deps.db, request, 'applied');
    await refuseRedos(deps.db, request.bankId, chosen);
    const model = deps.embedder.model.id;
    const result = await deps.db.tx({ label: 'undo' }, (tx) =>
      undoLocked(tx, deps, request, { chosen, model, vectors }),
    );
    if ('runId' in result) return result;
    // The vectors of texts that come back are of a model that is no longer in use.
    const made = await deps.embedder.embed(result.texts, {
      purpose: 'observation',
      signal: request.signal,
      bankId: request.bankId,
    });
    vectors.clear();
    result.texts.forEach((text, index) => {
      const vector = made[index];
      if (vector) vectors.set(text, vector);
    });
  }
  throw new CurationContendedError('the embedding model keeps changing; try again');
}

/** Undone, an undo is gone; what it had undone is in force, and can itself be undone again. */
async function refuseRedos(db: Queryable, bankId: string, chosen: readonly Chosen[]): Promise<void> {
  for (const { set } of chosen) {
    if (set.kind !== 'undo' || set.undoes === null) continue;
    const [undone] = await setsNamed(db, bankId, set.undoes);
    if (undone?.kind !== 'undo') continue;
    throw new RefusedError(
      'UNDO_THE_ORIGINAL',
      `change set ${set.id} took an undo back; to undo once more, undo change set ${undone.undoes ?? ''}`,
    );
  }
}

async function undoLocked(
  tx: Tx,
  deps: UndoDeps,
  { bankId }: Named,
  look: { readonly chosen: readonly Chosen[]; readonly model: string; readonly vectors: Map<string, Float32Array> },
): Promise<UndoReport | { readonly texts: readonly string[] }> {
  const { chosen, model, vectors } = look;
  const looked = chosen.flatMap((one) => one.ops);
  const changed = [...new Set(looked.flatMap(changedIds))];
  const created = looked.flatMap((op) => createdId(op) ?? []);
  const settled = [...new Set(looked.flatMap((op) => [...settledIds(op).keys()]))];
  const sources = [...new Set(looked.flatMap((op) => movedLinks(op).flatMap((link) => link.before?.memoryId ?? [])))];

  await holdModel(tx, deps.clock, model);
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'shared'))) throw new NothingNamedError(`there is no bank ${bankId}`);
  const epochs = await lockScopes(tx, bankId, await scopesOf(tx, bankId, changed));
  await lockMemories(tx, bankId, { members: settled, sources });
  const rows = await lockObservations(tx, bankId, changed, created);
  const setIds = chosen.map((one) => one.set.id);
  const undone = chosen.flatMap(({ set }) => (set.kind === 'undo' && set.undoes !== null ? [set.undoes] : []));
  await lockSets(tx, bankId, [...setIds, ...undone]);
  const ops = await stillApplied(tx, bankId, looked, setIds);
  const conflicts = await lockConflicts(tx, bankId, { ids: ops.flatMap(conflictIds), observationIds: created });
  const pairs = ops.flatMap((op) => movedLinks(op).flatMap((link) => link.after ?? link.before ?? []));
  const links = [...(await linksBetween(tx, bankId, pairs)), ...(await linksOn(tx, bankId, [...changed, ...created]))];
  // Of what stays linked no memory has to be locked: whoever edits one waits for its observation, to mark it.
  const resting = [...links, ...pairs].map((link) => link.memoryId);
  const plan = planUndo(ops, {
    rows,
    links,
    conflicts,
    memories: await readMemoryStates(tx, bankId, [...new Set([...settled, ...sources, ...resting])]),
    later: await opsSince(tx, bankId, {
      appliedNo: Math.min(...ops.map((op) => op.appliedNo)),
      observationIds: changed,
      memoryIds: settled,
      except: ops,
    }),
    model,
    vectors,
    now: deps.clock.now(),
  });
  if (plan.kind === 'embed') return { texts: plan.texts };
  if (plan.kind === 'refused') {
    throw new RefusedError('LATER_CHANGES', 'something stands on it by now; nothing was undone', plan.later);
  }
  await writeRows(tx, bankId, model, epochs, plan.writes);
  const report = await record(tx, deps, bankId, chosen, plan.writes);
  await deps.racepoints.reach('undo:before-commit', { changeSetIds: setIds });
  return report;
}

/** The ops as they are under the locks; somebody else may have undone them, or erased what they said. */
async function stillApplied(
  tx: Tx,
  bankId: string,
  looked: readonly ReviewedOp[],
  setIds: readonly string[],
): Promise<ReviewedOp[]> {
  const wanted = new Set(looked.map((op) => `${op.changeSetId}/${op.seq}`));
  const now = (await opsOfSets(tx, bankId, setIds)).filter((op) => wanted.has(`${op.changeSetId}/${op.seq}`));
  if (now.length === wanted.size && now.every((op) => op.status === 'applied')) return now;
  throw new RefusedError('NOT_APPLIED', 'somebody else has undone it meanwhile');
}

async function writeRows(
  tx: Tx,
  bankId: string,
  embeddingModel: string,
  epochs: ReadonlyMap<string, number>,
  writes: UndoWrites,
): Promise<void> {
  for (const [key, rows] of Map.groupBy(writes.updated, (row) => JSON.stringify(row.tags))) {
    const scopeEpoch = (epochs.get(key) ?? 0) + 1;
    await updateObservations(tx, { bankId, scopeEpoch, embeddingModel, observations: rows });
    // A create in flight has to be compared with what comes back into sight.
    const [first] = rows;
    if (first && rows.some((row) => row.surfaced || row.embedding !== null)) {
      await advanceScope(tx, bankId, first.tags, scopeEpoch);
    }
  }
  await deleteLinks(tx, bankId, writes.droppedLinks);
  await restoreLinks(tx, bankId, writes.links);
  await deleteConflicts(tx, bankId, writes.droppedConflictIds);
  await writeConflicts(tx, bankId, writes.conflicts);
  await moveMemories(tx, bankId, writes.memories);
}

/** One change set for each that was undone, in a run of their own. */
async function record(
  tx: Tx,
  deps: UndoDeps,
  bankId: string,
  chosen: readonly Chosen[],
  writes: UndoWrites,
): Promise<UndoReport> {
  const runId = deps.newId();
  await insertRun(tx, { bankId, id: runId, trigger: 'undo', instanceId: deps.instanceId });
  const changeSets: { id: string; undoes: string; ops: number }[] = [];
  const events: TimelineEvent[] = [];
  const places = new Map<ChangeOpRow, { changeSetId: string; seq: number }>();
  for (const { set, ops } of chosen) {
    const id = deps.newId();
    const mirrored = writes.ops.filter((op) => op.after?.undid?.changeSetId === set.id);
    mirrored.forEach((op, index) => {
      places.set(op, { changeSetId: id, seq: index + 1 });
    });
    await insertChangeSet(
      tx,
      { bankId, id, runId, decider: 'undo', status: 'applied', reason: null, kind: 'undo', undoes: set.id },
      mirrored,
    );
    changeSets.push({ id, undoes: set.id, ops: ops.length });
    const none = { memoryId: null, changeSetId: id };
    events.push(
      { ...none, kind: 'changes.undone', observationId: null, detail: { undoes: set.id, ops: ops.length } },
      ...mirrored.flatMap((op) =>
        [op.after?.target ?? null, ...(op.after?.repointed ?? [])]
          .filter((image) => image !== null)
          .map((image) => ({ ...none, kind: 'observation.undone', observationId: image.id, detail: { op: op.op } })),
      ),
    );
    await setOpStatuses(tx, bankId, ops, 'undone');
    // What an undo had undone is in force again.
    const revived = set.kind === 'undo' ? ops.flatMap((op) => op.after?.undid ?? []) : [];
    await setOpStatuses(tx, bankId, revived, 'applied');
    await refreshSetStatuses(tx, bankId, [set.id, ...new Set(revived.map((op) => op.changeSetId))]);
  }
  // The order in which they were undone is the one in which they can be taken back.
  const inOrder = writes.ops.flatMap((op) => places.get(op) ?? []);
  if (chosen.length > 1) await orderOps(tx, bankId, inOrder);
  await finishRun(tx, { bankId, id: runId, outcome: 'done', counts: { undone: writes.ops.length } });
  await insertEvents(tx, bankId, events);
  const moved = (state: string) => writes.memories.filter((move) => move.state === state).map((move) => move.id);
  return { runId, changeSets, held: moved('held'), consolidated: moved('consolidated') };
}
