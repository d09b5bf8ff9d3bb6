import { v7 as uuid } from 'uuid';
import type { Database } from '../../src/db/database.ts';
import { insertConflicts, insertEvents } from '../../src/store/apply-writes.ts';
import { startAttempt } from '../../src/store/attempts.ts';
import { createBank } from '../../src/store/banks.ts';
import { type ChangeOpRow, emptyOp, insertChangeSet, type ObservationImage } from '../../src/store/change-ops.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { linkEntities } from '../../src/store/entities.ts';
import { claimIdempotencyKey, storeAnswer } from '../../src/store/idempotency.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { insertMemories, type NewMemory, storeEmbeddings } from '../../src/store/memories.ts';
import { type NewCall, reserveCall, type Settlement, settleCall } from '../../src/store/model-calls.ts';
import { insertObservations, upsertLinks } from '../../src/store/observations.ts';
import { insertRun } from '../../src/store/runs.ts';
import { advanceScope, readScopeEpoch } from '../../src/store/scopes.ts';
import { insertSnapshot } from '../../src/store/snapshots.ts';
import { storeVerdict } from '../../src/store/verdicts.ts';
import { wordVector } from '../support/fake-embedder.ts';

export const model = 'local/fake-512';

/** A bank with something of everything in it, and the ids of it all. */
export interface VictimBank {
  readonly bankId: string;
  readonly instanceId: string;
  /** Pending with a vector, pending without, consolidated, parked. */
  readonly pending: string;
  readonly unembedded: string;
  readonly consolidated: string;
  readonly parked: string;
  readonly live: string;
  readonly rival: string;
  readonly superseded: string;
  readonly folded: string;
  readonly replan: string;
  readonly runId: string;
  readonly changeSetId: string;
  readonly attemptId: string;
  readonly conflictId: string;
  readonly snapshotId: string;
  /** When all of it stood. */
  readonly stoodAt: Date;
  readonly sourceRef: string;
  readonly ingestKey: string;
  readonly verdictKey: Buffer;
  /** A call under way, and the hash of one whose answer is kept. */
  readonly callId: string;
  readonly requestHash: Buffer;
  readonly memories: readonly string[];
  readonly observations: readonly string[];
}

export const tags = ['private'];

export function newMemory(id: string, text: string, more: Partial<NewMemory> = {}): NewMemory {
  return {
    id,
    text,
    context: null,
    kind: 'world',
    tags,
    metadata: {},
    dialogue: null,
    occurredStart: null,
    occurredEnd: null,
    mentionedAt: null,
    sourceRef: null,
    ingestKey: null,
    ...more,
  };
}

export function image(id: string, text: string, more: Partial<ObservationImage> = {}): ObservationImage {
  return {
    id,
    text,
    version: 1,
    validFrom: null,
    validTo: null,
    occurredStart: null,
    occurredEnd: null,
    supersededBy: null,
    canonicalId: null,
    retiredAt: null,
    needsReplanAt: null,
    ...more,
  };
}

export function opRow(targetId: string, memoryIds: readonly string[]): ChangeOpRow {
  return {
    ...emptyOp,
    op: 'reinforce',
    status: 'applied',
    targetId,
    baseVersion: 1,
    resultId: targetId,
    memoryIds,
    observationIds: [targetId],
    memoryVersions: memoryIds.map(() => 1),
    before: { target: image(targetId, 'victim before'), repointed: [], links: [] },
    after: null,
    reason: 'victim reason',
  };
}

export function newCall({ instanceId, requestHash }: Pick<VictimBank, 'instanceId' | 'requestHash'>): NewCall {
  return {
    id: uuid(),
    day: '2026-01-01',
    instanceId,
    endpoint: 'http://victim/v1',
    model: 'gpt-5-mini',
    purpose: 'consolidate',
    requestHash,
    memories: 1,
    promptBytes: 10,
    most: { nanoUsd: 10, tokens: 10, unpricedTokens: 0 },
    probeId: null,
  };
}

/** Of the call under way, with an answer over all that the victim has. */
export function settlementOf({ callId, requestHash, pending, live }: VictimBank): Settlement {
  return {
    id: callId,
    outcome: 'ok',
    latencyMs: 1,
    spent: { nanoUsd: 5, tokens: 5, unpricedTokens: 0 },
    usage: { promptTokens: 4, cachedTokens: 0, outputTokens: 1 },
    answerJson: '"secret answer"',
    requestHash,
    subjectIds: [pending, live],
  };
}

export async function createVictim(db: Database, bankId: string): Promise<VictimBank> {
  const ids = Object.fromEntries(
    [
      'pending',
      'unembedded',
      'consolidated',
      'parked',
      'live',
      'rival',
      'superseded',
      'folded',
      'replan',
      'runId',
      'changeSetId',
      'attemptId',
      'conflictId',
      'snapshotId',
      'instanceId',
      'callId',
    ].map((name) => [name, uuid()]),
  ) as Record<string, string> & VictimBank;
  const memories = [ids.pending, ids.unembedded, ids.consolidated, ids.parked];
  const observations = [ids.live, ids.rival, ids.superseded, ids.folded, ids.replan];
  const victim: VictimBank = {
    ...ids,
    bankId,
    sourceRef: 'victim/ref',
    ingestKey: 'victim-key',
    verdictKey: Buffer.from('victim verdict'),
    requestHash: Buffer.from('victim request'),
    memories,
    observations,
    stoodAt: new Date(0),
  };
  const text = (name: string) => `secret kite ${name}`;

  await pinEmbeddingModel(db, { id: model, provider: 'local', dimensions: 512 });
  await insertInstance(db, { id: victim.instanceId, role: 'daemon', host: 'h', pid: 1, version: '0' });
  await db.tx({ label: 'test' }, async (tx) => {
    await createBank(tx, bankId, 'secret mission');
    await insertMemories(tx, bankId, [
      newMemory(victim.pending, text('pending'), { sourceRef: victim.sourceRef, ingestKey: victim.ingestKey }),
      ...['unembedded', 'consolidated', 'parked'].map((name) => newMemory(ids[name] ?? '', text(name))),
    ]);
    await linkEntities(tx, bankId, [{ memoryId: victim.pending, name: 'Secret Ann' }], uuid);
    await storeEmbeddings(
      tx,
      bankId,
      model,
      [victim.pending, victim.consolidated].map((id) => ({ id, version: 1, vector: wordVector(text('x')) })),
    );
    await tx.query(
      "update engram.memories set state = 'consolidated', pin = 'manual', pinned_at = now() where id = $1",
      [victim.consolidated],
    );
    await tx.query(
      `update engram.memories set state = 'parked', state_reason = 'no_progress', score_parked = 'a score of 7'
       where id = $1`,
      [victim.parked],
    );
    const base = { bankId, tags, scopeEpoch: 5, embeddingModel: model };
    const images = [
      image(victim.live, text('live')),
      image(victim.rival, text('rival')),
      image(victim.superseded, text('superseded'), { supersededBy: victim.live }),
      image(victim.folded, text('folded')),
      image(victim.replan, text('replan')),
    ];
    await insertObservations(tx, {
      ...base,
      observations: images.map((one) => ({ image: one, embedding: wordVector(one.text) })),
    });
    await tx.query('update engram.observations set canonical_id = $2 where id = $1', [victim.folded, victim.live]);
    await tx.query('update engram.observations set needs_replan_at = now() where id = $1', [victim.replan]);
    await upsertLinks(
      tx,
      bankId,
      observations.map((observationId) => ({ observationId, memoryId: victim.consolidated, memoryVersion: 1 })),
    );
    await insertConflicts(tx, bankId, [
      { id: victim.conflictId, left: victim.live, right: victim.rival, reason: 'secret conflict' },
    ]);
    await readScopeEpoch(tx, bankId, tags);
    await advanceScope(tx, bankId, tags, 5);
    await insertRun(tx, { bankId, id: victim.runId, trigger: 'requested', instanceId: victim.instanceId });
    await insertChangeSet(
      tx,
      { bankId, id: victim.changeSetId, runId: victim.runId, decider: 'rules/1', status: 'applied', reason: null },
      [opRow(victim.live, [victim.consolidated])],
    );
    await startAttempt(tx, {
      bankId,
      id: victim.attemptId,
      runId: victim.runId,
      instanceId: victim.instanceId,
      memoryIds: [victim.pending],
    });
    await insertEvents(tx, bankId, [
      {
        kind: 'test',
        memoryId: victim.pending,
        observationId: victim.live,
        changeSetId: victim.changeSetId,
        detail: {},
      },
    ]);
    const judged = { key: victim.verdictKey, subjectIds: [victim.live, victim.rival] };
    await storeVerdict(tx, bankId, { ...judged, verdict: 'different', reason: 'secret reason' });
    const request = { scope: bankId, key: 'k', requestHash: Buffer.from('hash') };
    await claimIdempotencyKey(tx, request);
    await storeAnswer(tx, request, { status: 201, response: { secret: 'answer' } });
  });
  const answered = newCall(victim);
  const limits = { nanoUsd: 1e9, tokens: null, unpricedTokens: 1e9 };
  await reserveCall(db, bankId, answered, limits);
  await settleCall(db, bankId, { ...settlementOf(victim), id: answered.id });
  await reserveCall(db, bankId, { ...newCall(victim), id: victim.callId }, limits);
  const ended = uuid();
  await startAttempt(db, { ...victim, id: ended, memoryIds: [victim.pending] });
  await db.query("update engram.attempts set finished_at = now(), outcome = 'crashed' where id = $1", [ended]);
  const snapshot = await insertSnapshot(db, bankId, { id: victim.snapshotId, trigger: 'asked' });
  return { ...victim, stoodAt: new Date(snapshot.madeAt.getTime() + 1) };
}

/** Every row of the bank in every table that has banks, as text: equal before and after means untouched. */
export async function imageOfBank(db: Database, bankId: string): Promise<Record<string, unknown>> {
  const { rows: tables } = await db.query<{ name: string; key: string }>(
    `select table_name as name, column_name as key from information_schema.columns
     where table_schema = 'engram' and (column_name = 'bank_id' or (table_name = 'banks' and column_name = 'id')
       or (table_name = 'idempotency_keys' and column_name = 'scope'))
     order by table_name`,
  );
  const entries = await Promise.all(
    tables.map(async ({ name, key }) => {
      // Names from the catalogue of a test database.
      const { rows } = await db.query(`select to_jsonb(t) as row from engram.${name} t where ${key} = $1 order by 1`, [
        bankId,
      ]);
      return [name, rows] as const;
    }),
  );
  return Object.fromEntries(entries);
}
