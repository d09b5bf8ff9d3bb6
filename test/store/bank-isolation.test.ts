import { readdirSync, readFileSync } from 'node:fs';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildKey } from '../../src/builds/build-store.ts';
import type { Database } from '../../src/db/database.ts';
import { sqlState } from '../../src/db/errors.ts';
import * as applyLocks from '../../src/store/apply-locks.ts';
import * as applyWrites from '../../src/store/apply-writes.ts';
import * as asOfRows from '../../src/store/as-of-rows.ts';
import * as asOfVectors from '../../src/store/as-of-vectors.ts';
import * as attempts from '../../src/store/attempts.ts';
import * as bankMission from '../../src/store/bank-mission.ts';
import * as banks from '../../src/store/banks.ts';
import * as history from '../../src/store/change-history.ts';
import * as changeOps from '../../src/store/change-ops.ts';
import * as review from '../../src/store/change-review.ts';
import * as changed from '../../src/store/changed-observations.ts';
import * as conflicts from '../../src/store/conflicts.ts';
import * as contradictionPairs from '../../src/store/contradiction-pairs.ts';
import * as costs from '../../src/store/cost-report.ts';
import * as counts from '../../src/store/counts.ts';
import * as digestRows from '../../src/store/digest-rows.ts';
import * as dueMemories from '../../src/store/due-memories.ts';
import * as dueWork from '../../src/store/due-work.ts';
import * as entities from '../../src/store/entities.ts';
import * as erasure from '../../src/store/erasure.ts';
import * as erasureScrub from '../../src/store/erasure-scrub.ts';
import * as erasures from '../../src/store/erasures.ts';
import * as erasuresDue from '../../src/store/erasures-due.ts';
import * as evidence from '../../src/store/evidence.ts';
import * as idempotency from '../../src/store/idempotency.ts';
import * as integrity from '../../src/store/integrity.ts';
import * as invalidation from '../../src/store/invalidation.ts';
import * as lineage from '../../src/store/lineage.ts';
import * as memories from '../../src/store/memories.ts';
import * as memoryRows from '../../src/store/memory-rows.ts';
import * as memoryStates from '../../src/store/memory-states.ts';
import * as modelAnswers from '../../src/store/model-answers.ts';
import * as modelCalls from '../../src/store/model-calls.ts';
import { createNeighbourLists } from '../../src/store/neighbours/create-neighbour-lists.ts';
import * as neighbourRows from '../../src/store/neighbours/neighbour-rows.ts';
import * as nextEmbeddings from '../../src/store/next-embeddings.ts';
import * as observations from '../../src/store/observations.ts';
import * as pins from '../../src/store/pins.ts';
import * as recallRows from '../../src/store/recall-rows.ts';
import * as related from '../../src/store/related-observations.ts';
import * as replanWork from '../../src/store/replan-work.ts';
import * as requestCosts from '../../src/store/request-costs.ts';
import * as requeue from '../../src/store/requeue.ts';
import * as runs from '../../src/store/runs.ts';
import * as scopes from '../../src/store/scopes.ts';
import * as scores from '../../src/store/scores.ts';
import { createBuildStore } from '../../src/store/shared-builds.ts';
import * as snapshots from '../../src/store/snapshots.ts';
import * as staleEmbeddings from '../../src/store/stale-embeddings.ts';
import * as sweepRows from '../../src/store/sweep-rows.ts';
import * as timeline from '../../src/store/timeline.ts';
import * as unpark from '../../src/store/unpark.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import * as matrixRows from '../../src/store/vectors/matrix-rows.ts';
import * as verdicts from '../../src/store/verdicts.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import {
  createVictim,
  image,
  imageOfBank,
  model,
  newCall,
  newMemory,
  opRow,
  settlementOf,
  tags,
  type VictimBank,
} from './victim-bank.ts';

/** Law L21: run with another bank's ids, a store function gives nothing and changes nothing there. */

interface Case {
  /** Called on a bank of its own that is empty, with the ids of the victim. */
  readonly call: (thief: string, victim: VictimBank, db: Database) => Promise<unknown>;
  /** What it gives; `refused` where a foreign key ends it. */
  readonly gives: unknown;
}

const page = { after: undefined, limit: 100 };
const everyNight = { fromAt: new Date(0), toAt: new Date('2100-01-01') };
const everyChange = { seen: null, horizon: '9223372036854775807' };
const recallScope = (bankId: string): recallRows.RecallScope => ({
  bankId,
  targets: ['memories', 'observations'],
  tags: [],
  observationStates: ['live', 'superseded', 'folded', 'retired'],
});
const vectorOf = (text: string) => wordVector(text);
const apart = (victim: VictimBank): asOfVectors.VectorApart[] => [
  { target: 'observations', id: victim.live, setId: null, seq: null, isHidden: false, isOther: false },
  { target: 'memories', id: victim.pending, setId: null, seq: null, isHidden: false, isOther: false },
];
const wantedTexts = (victim: VictimBank): snapshots.WantedText[] => [
  { target: 'memories', id: victim.pending, version: 1 },
  { target: 'observations', id: victim.live, version: 1 },
];

const cases: Record<string, Case> = {
  'apply-locks:lockBank': { call: (b, _, db) => applyLocks.lockBank(db, `${b}-none`, 'exclusive'), gives: false },
  'apply-locks:lockMemories': {
    call: (b, v, db) => applyLocks.lockMemories(db, b, { members: v.memories, sources: v.memories }),
    gives: new Map(),
  },
  'apply-locks:lockObservations': {
    call: (b, v, db) => applyLocks.lockObservations(db, b, v.observations, v.observations),
    gives: new Map(),
  },
  'apply-locks:pointedAtBeside': {
    call: (b, v, db) => applyLocks.pointedAtBeside(db, b, v.observations, []),
    gives: new Set(),
  },
  'apply-writes:settleMemories': {
    call: (b, v, db) =>
      applyWrites.settleMemories(
        db,
        b,
        v.memories.map((id) => ({ id, state: 'consolidated' as const, reason: 'stolen' })),
        'stolen',
      ),
    gives: undefined,
  },
  'apply-writes:insertConflicts': {
    call: (b, v, db) =>
      applyWrites.insertConflicts(db, b, [{ id: uuid(), left: v.live, right: v.superseded, reason: '' }]),
    gives: 'refused',
  },
  'apply-writes:insertEvents': {
    // The timeline outlives what it tells of and has no keys; what it says stays in its own bank.
    call: (b, v, db) =>
      applyWrites.insertEvents(db, b, [
        { kind: 'x', memoryId: v.pending, observationId: null, changeSetId: null, detail: {} },
      ]),
    gives: undefined,
  },
  'attempts:startAttempt': {
    call: (b, v, db) => attempts.startAttempt(db, { ...v, bankId: b, id: uuid(), memoryIds: v.memories }),
    gives: 'refused',
  },
  'attempts:finishAttempt': {
    call: (b, v, db) => attempts.finishAttempt(db, { bankId: b, id: v.attemptId, outcome: 'applied' }),
    gives: undefined,
  },
  'attempts:closeCrashedAttempts': { call: (b, _, db) => attempts.closeCrashedAttempts(db, b, uuid()), gives: 0 },
  'attempts:attemptsOf': { call: (b, v, db) => attempts.attemptsOf(db, b, v.memories), gives: [] },
  'attempts:recordRequest': {
    call: (b, v, db) =>
      attempts.recordRequest(db, {
        bankId: b,
        id: v.attemptId,
        requestHash: Buffer.from('stolen'),
        shown: { memories: [], observations: [], askedAgain: [] },
      }),
    gives: undefined,
  },
  'attempts:answeredAttempts': { call: (b, _, db) => attempts.answeredAttempts(db, b, 'llm'), gives: [] },
  'attempts:replanAttempts': { call: (b, _, db) => attempts.replanAttempts(db, b), gives: [] },
  'attempts:hasCrashes': { call: (b, _, db) => attempts.hasCrashes(db, b), gives: false },
  'bank-mission:bankMission': { call: (b, _, db) => bankMission.bankMission(db, b), gives: '' },
  'banks:createBank': { call: (b, _, db) => banks.createBank(db, `${b}-new`), gives: true },
  'banks:ensureBank': { call: (b, _, db) => banks.ensureBank(db, b), gives: undefined },
  'banks:findBank': { call: (b, _, db) => banks.findBank(db, `${b}-none`), gives: undefined },
  'banks:deleteBank': { call: (b, _, db) => db.tx({ label: 'test' }, (tx) => banks.deleteBank(tx, b)), gives: true },
  'change-history:listChangeSets': {
    call: (b, v, db) => history.listChangeSets(db, b, { ...page, status: null, runId: v.runId }),
    gives: { sets: [], end: undefined },
  },
  'change-history:findChangeSet': { call: (b, v, db) => history.findChangeSet(db, b, v.changeSetId), gives: undefined },
  'change-history:opsOfChangeSet': { call: (b, v, db) => history.opsOfChangeSet(db, b, v.changeSetId), gives: [] },
  'change-history:opsTouching': {
    call: async (b, v, db) => [
      await history.opsTouching(db, b, v.consolidated),
      await history.opsTouching(db, b, v.live),
    ],
    gives: [[], []],
  },
  'change-history:excerptsOf': { call: (b, v, db) => history.excerptsOf(db, b, v.memories), gives: [] },
  'change-history:listRuns': { call: (b, _, db) => history.listRuns(db, b, page), gives: { runs: [], end: undefined } },
  'change-history:listConflicts': {
    call: (b, v, db) => history.listConflicts(db, b, { status: null, observationId: v.live, limit: 100 }),
    gives: [],
  },
  'change-history:pointersTo': {
    call: (b, v, db) => history.pointersTo(db, b, v.live),
    gives: { folded: [], superseded: [] },
  },
  'change-ops:insertChangeSet': {
    call: (b, v, db) =>
      changeOps.insertChangeSet(
        db,
        { bankId: b, id: uuid(), runId: v.runId, decider: 'x', status: 'applied', reason: null },
        [{ ...opRow(v.live, v.memories), afterVector: 'in-row' }],
      ),
    gives: 'refused',
  },
  'change-ops:writeAppliedProposals': {
    call: (b, v, db) =>
      changeOps.writeAppliedProposals(db, b, v.changeSetId, [{ seq: 1, row: opRow(v.live, v.memories) }]),
    gives: undefined,
  },
  'change-review:setsNamed': { call: (b, v, db) => review.setsNamed(db, b, v.changeSetId), gives: [] },
  'change-review:lockSets': { call: (b, v, db) => review.lockSets(db, b, [v.changeSetId]), gives: undefined },
  'change-review:opsOfSets': { call: (b, v, db) => review.opsOfSets(db, b, [v.changeSetId]), gives: [] },
  'change-review:opsSince': {
    call: (b, v, db) =>
      review.opsSince(db, b, { appliedNo: 0, observationIds: v.observations, memoryIds: v.memories, except: [] }),
    gives: [],
  },
  'change-review:setOpStatuses': {
    call: (b, v, db) => review.setOpStatuses(db, b, [{ changeSetId: v.changeSetId, seq: 1 }], 'undone'),
    gives: undefined,
  },
  'change-review:orderOps': {
    call: (b, v, db) => review.orderOps(db, b, [{ changeSetId: v.changeSetId, seq: 1 }]),
    gives: undefined,
  },
  'change-review:refreshSetStatuses': {
    call: (b, v, db) => review.refreshSetStatuses(db, b, [v.changeSetId]),
    gives: new Map(),
  },
  'conflicts:findConflict': { call: (b, v, db) => conflicts.findConflict(db, b, v.conflictId), gives: undefined },
  'conflicts:lockConflicts': {
    call: (b, v, db) => conflicts.lockConflicts(db, b, { ids: [v.conflictId], observationIds: v.observations }),
    gives: [],
  },
  'conflicts:writeConflicts': {
    call: (b, v, db) =>
      conflicts.writeConflicts(db, b, [
        {
          ...{
            id: v.conflictId,
            left: v.live,
            right: v.rival,
            reason: 'stolen',
            status: 'resolved',
            resolution: 'both',
          },
          ...{ createdAt: null, resolvedAt: null, changeSetId: null },
        },
      ]),
    gives: 'refused',
  },
  'conflicts:deleteConflicts': {
    call: (b, v, db) => conflicts.deleteConflicts(db, b, [v.conflictId]),
    gives: undefined,
  },
  'counts:countBanks': {
    call: async (b, _, db) => {
      const of = (await counts.countBanks(db, [b])).get(b);
      return [of?.memories.pending, of?.observations.live, of?.openConflicts, of?.unembedded, of?.due];
    },
    gives: [0, 0, 0, 0, 0],
  },
  'due-memories:selectDueMemories': {
    call: (b, _, db) => dueMemories.selectDueMemories(db, b, { limit: 100, inHand: [] }),
    gives: [],
  },
  'due-memories:reloadPending': { call: (b, v, db) => dueMemories.reloadPending(db, b, v.memories), gives: [] },
  'due-memories:postponeMemories': {
    call: (b, v, db) =>
      dueMemories.postponeMemories(
        db,
        b,
        v.memories.map((id) => ({ id, version: 1, restMs: 0 })),
      ),
    gives: undefined,
  },
  'due-memories:restMemories': {
    call: (b, v, db) =>
      dueMemories.restMemories(
        db,
        b,
        v.memories.map((id) => ({ id, version: 1, restMs: 60_000 })),
      ),
    gives: undefined,
  },
  'due-memories:parkMemories': {
    call: (b, v, db) =>
      dueMemories.parkMemories(
        db,
        b,
        v.memories.map((id) => ({ id, version: 1 })),
        'no_progress',
      ),
    gives: undefined,
  },
  'due-work:dueWorkOf': {
    call: async (b, _, db) => {
      const work = await dueWork.dueWorkOf(db, b, 100);
      return [work?.due, work?.replans, work?.unembedded, work?.unscored, work?.nextScoreAt];
    },
    gives: [0, 0, false, 0, null],
  },
  'unpark:unparkMemories': { call: (b, v, db) => unpark.unparkMemories(db, b, v.memories), gives: new Map() },
  'unpark:unparkScores': { call: (b, v, db) => unpark.unparkScores(db, b, v.memories), gives: new Map() },
  'entities:linkEntities': {
    call: (b, v, db) => entities.linkEntities(db, b, [{ memoryId: v.pending, name: 'Secret Ann' }], uuid),
    gives: 'refused',
  },
  'evidence:restingOnPins': {
    call: (b, v, db) => evidence.restingOnPins(db, b, v.observations),
    gives: new Set(),
  },
  'evidence:linksOf': {
    call: async (b, v, db) => [...(await evidence.linksOf(db, b, [v.live])).values()],
    gives: [[]],
  },
  'evidence:linksBetween': {
    call: (b, v, db) => evidence.linksBetween(db, b, [{ observationId: v.live, memoryId: v.consolidated }]),
    gives: [],
  },
  'idempotency:claimIdempotencyKey': {
    call: (b, _, db) => idempotency.claimIdempotencyKey(db, { scope: b, key: 'k', requestHash: Buffer.from('hash') }),
    gives: { outcome: 'claimed' },
  },
  'idempotency:storeAnswer': {
    call: (b, _, db) =>
      idempotency.storeAnswer(
        db,
        { scope: b, key: 'k', requestHash: Buffer.from('hash') },
        { status: 200, response: { stolen: true } },
      ),
    gives: undefined,
  },
  'evidence:linksOn': { call: (b, v, db) => evidence.linksOn(db, b, v.observations), gives: [] },
  'memory-states:readMemoryStates': {
    call: (b, v, db) => memoryStates.readMemoryStates(db, b, v.memories),
    gives: new Map(),
  },
  'memory-states:moveMemories': {
    call: (b, v, db) =>
      memoryStates.moveMemories(
        db,
        b,
        v.memories.map((id) => ({ id, state: 'held' as const, reason: 'stolen' })),
      ),
    gives: undefined,
  },
  'memories:insertMemories': {
    call: async (b, v, db) => {
      const id = uuid();
      const same = newMemory(id, 'secret kite pending', { sourceRef: v.sourceRef, ingestKey: v.ingestKey });
      return (await memories.insertMemories(db, b, [same])).has(id);
    },
    gives: true,
  },
  'memories:findExisting': {
    call: (b, v, db) =>
      memories.findExisting(db, b, [
        newMemory(uuid(), 'secret kite pending', { sourceRef: v.sourceRef, ingestKey: v.ingestKey }),
      ]),
    gives: [],
  },
  'memories:selectUnembedded': { call: (b, _, db) => memories.selectUnembedded(db, b, 100), gives: [] },
  'memories:countUnembedded': { call: (b, _, db) => memories.countUnembedded(db, b), gives: 0 },
  'memories:storeEmbeddings': {
    call: (b, v, db) =>
      memories.storeEmbeddings(
        db,
        b,
        model,
        v.memories.map((id) => ({ id, version: 1, vector: vectorOf('stolen') })),
      ),
    gives: 0,
  },
  'next-embeddings:selectWithoutNext': {
    call: (b, _, db) =>
      nextEmbeddings.selectWithoutNext(db, b, { target: 'memories', model, afterId: null, limit: 100 }),
    gives: [],
  },
  'next-embeddings:storeNextEmbeddings': {
    call: (b, v, db) =>
      nextEmbeddings.storeNextEmbeddings(db, b, {
        target: 'observations',
        model,
        rows: v.observations.map((id) => ({ id, hash: 'ff', vector: vectorOf('stolen') })),
      }),
    gives: 0,
  },
  'next-embeddings:moveNextEmbeddings': {
    call: (b, _, db) =>
      nextEmbeddings.moveNextEmbeddings(db, b, { target: 'memories', model, afterId: null, limit: 100 }),
    gives: null,
  },
  'stale-embeddings:selectStale': {
    call: async (b, _, db) => [
      ...(await staleEmbeddings.selectStale(db, b, 'memories', 100)),
      ...(await staleEmbeddings.selectStale(db, b, 'observations', 100)),
    ],
    gives: [],
  },
  'stale-embeddings:storeFreshEmbeddings': {
    call: async (b, v, db) => {
      const { rows } = await db.query<{ id: string; hash: string }>(
        "select id, encode(content_hash, 'hex') as hash from engram.observations where id = any($1::uuid[])",
        [v.observations],
      );
      return staleEmbeddings.storeFreshEmbeddings(db, b, {
        target: 'observations',
        model,
        rows: rows.map((row) => ({ ...row, vector: vectorOf('stolen') })),
      });
    },
    gives: 0,
  },
  'memories:parkUnembeddable': {
    call: (b, v, db) => memories.parkUnembeddable(db, b, { id: v.unembedded, version: 1 }, 'stolen'),
    gives: false,
  },
  'memory-rows:loadMemories': { call: (b, v, db) => memoryRows.loadMemories(db, b, v.memories), gives: [] },
  'memory-rows:listMemoryIds': {
    call: (b, _, db) => memoryRows.listMemoryIds(db, b, { ...page, state: null, pinnedOnly: false }),
    gives: { ids: [], end: undefined },
  },
  'memory-rows:listObservationIds': {
    call: (b, _, db) => memoryRows.listObservationIds(db, b, { ...page, state: null }),
    gives: { ids: [], end: undefined },
  },
  'observations:insertObservations': {
    call: (b, v, db) =>
      observations.insertObservations(db, {
        bankId: b,
        tags,
        scopeEpoch: 1,
        embeddingModel: model,
        observations: [{ image: image(uuid(), 'x', { supersededBy: v.live }), embedding: vectorOf('x') }],
      }),
    gives: 'refused',
  },
  'observations:updateObservations': {
    call: (b, v, db) =>
      observations.updateObservations(db, {
        bankId: b,
        scopeEpoch: 9,
        embeddingModel: model,
        observations: [
          { image: image(v.live, 'stolen', { version: 9 }), embedding: vectorOf('stolen'), surfaced: true },
        ],
      }),
    gives: undefined,
  },
  'observations:upsertLinks': {
    call: (b, v, db) =>
      observations.upsertLinks(db, b, [{ observationId: v.live, memoryId: v.pending, memoryVersion: 1 }]),
    gives: 'refused',
  },
  'observations:restoreLinks': {
    call: (b, v, db) =>
      observations.restoreLinks(db, b, [{ observationId: v.live, memoryId: v.pending, memoryVersion: 1 }]),
    gives: 'refused',
  },
  'observations:scopesOf': { call: (b, v, db) => observations.scopesOf(db, b, v.observations), gives: [] },
  'observations:deleteLinks': {
    call: (b, v, db) =>
      observations.deleteLinks(db, b, [{ observationId: v.live, memoryId: v.consolidated, memoryVersion: 1 }]),
    gives: undefined,
  },
  'observations:writtenSince': {
    call: (b, _, db) => observations.writtenSince(db, { bankId: b, tags, epoch: 0, embeddingModel: model }),
    gives: [],
  },
  'observations:lossFigures': {
    call: (b, v, db) => observations.lossFigures(db, b, v.runId),
    gives: { live: 0, retiredByRun: 0, retiredIn90Days: 0 },
  },
  'recall-rows:textHits': {
    call: (b, _, db) => recallRows.textHits(db, recallScope(b), { query: 'secret kite', limit: 100 }),
    gives: [],
  },
  'as-of-rows:readInstant': {
    call: (b, v, db) =>
      asOfRows.readInstant(db, b, v.stoodAt).then((instant) => [instant?.hasCome, instant?.editedSince]),
    gives: [true, 0],
  },
  'as-of-rows:textHitsAsOf': {
    call: (b, v, db) => asOfRows.textHitsAsOf(db, recallScope(b), { query: 'secret kite', limit: 100, at: v.stoodAt }),
    gives: [],
  },
  'as-of-vectors:vectorsApart': {
    call: (b, v, db) => asOfVectors.vectorsApart(db, recallScope(b), v.stoodAt),
    gives: [],
  },
  'as-of-rows:standingMemories': {
    call: (b, v, db) => asOfRows.standingMemories(db, b, { ids: v.memories, at: v.stoodAt }),
    gives: new Set(),
  },
  'as-of-vectors:loadVectorsApart': {
    call: (b, v, db) => asOfVectors.loadVectorsApart(db, b, { model, rows: apart(v) }),
    gives: [],
  },
  'as-of-rows:loadCandidatesAsOf': {
    call: (b, v, db) => asOfRows.loadCandidatesAsOf(db, recallScope(b), { ...v, at: v.stoodAt }),
    gives: { rows: [], coverage: [] },
  },
  'as-of-rows:citationsAsOf': {
    call: (b, v, db) => asOfRows.citationsAsOf(db, b, { memoryIds: v.memories, at: v.stoodAt }),
    gives: [],
  },
  'as-of-rows:loadObservationsAsOf': {
    call: (b, v, db) => asOfRows.loadObservationsAsOf(db, b, { ids: v.observations, sourcesPerItem: 9, at: v.stoodAt }),
    gives: [],
  },
  'snapshots:lockSnapshots': { call: (b, _, db) => snapshots.lockSnapshots(db, b), gives: undefined },
  'snapshots:insertSnapshot': {
    call: (b, _, db) =>
      snapshots.insertSnapshot(db, b, { id: uuid(), trigger: 'asked' }).then(({ counts: held }) => held),
    gives: { memories: {}, observations: {}, pinned: 0 },
  },
  'snapshots:pruneSnapshots': {
    call: (b, _, db) => snapshots.pruneSnapshots(db, b, { id: uuid(), keep: 1 }),
    gives: [],
  },
  'snapshots:listSnapshots': { call: (b, _, db) => snapshots.listSnapshots(db, b), gives: [] },
  'snapshots:diffSnapshots': {
    call: (b, v, db) => snapshots.diffSnapshots(db, b, { before: v.snapshotId, after: null, place: null, limit: 100 }),
    gives: { rows: [], groups: [] },
  },
  'snapshots:textsInVersions': {
    call: (b, v, db) => snapshots.textsInVersions(db, b, wantedTexts(v)),
    gives: [null, null],
  },
  'recall-rows:scopesWithTags': { call: (b, _, db) => recallRows.scopesWithTags(db, b, tags, 100), gives: [] },
  'recall-rows:loadCandidates': {
    call: (b, v, db) => recallRows.loadCandidates(db, recallScope(b), v),
    gives: { rows: [], coverage: [] },
  },
  'recall-rows:pinnedMemories': {
    call: (b, _, db) => recallRows.pinnedMemories(db, recallScope(b), 100),
    gives: [],
  },
  'recall-rows:loadObservations': {
    call: (b, v, db) => recallRows.loadObservations(db, b, v.observations, 100),
    gives: [],
  },
  'related-observations:observationsByWords': {
    call: (b, _, db) => related.observationsByWords(db, { bankId: b, tags, queries: ['secret kite'], limit: 100 }),
    gives: [[]],
  },
  'related-observations:loadRelated': {
    call: (b, v, db) => related.loadRelated(db, { bankId: b, tags, ids: v.observations }),
    gives: [],
  },
  'replan-work:selectReplans': {
    call: (b, _, db) => replanWork.selectReplans(db, b, { limit: 100, inHand: [] }),
    gives: [],
  },
  'replan-work:postponeReplan': {
    call: (b, v, db) => replanWork.postponeReplan(db, b, { id: v.replan, version: 1, restMs: 0 }),
    gives: undefined,
  },
  'request-costs:costOfRequests': {
    call: (b, v, db) => requestCosts.costOfRequests(db, b, { requestHashes: [v.requestHash], runningSeconds: 3600 }),
    gives: { calls: 0, nanoUsd: 0 },
  },
  'runs:insertRun': {
    call: (b, v, db) =>
      runs.insertRun(db, { bankId: `${b}-none`, id: v.runId, trigger: 'x', instanceId: v.instanceId }),
    gives: false,
  },
  'runs:closeCrashedRuns': { call: (b, _, db) => runs.closeCrashedRuns(db, b, uuid()), gives: undefined },
  'runs:finishRun': {
    call: (b, v, db) => runs.finishRun(db, { bankId: b, id: v.runId, outcome: 'stolen', counts: {} }),
    gives: undefined,
  },
  'scores:selectDueScores': { call: (b, _, db) => scores.selectDueScores(db, b, 100), gives: [] },
  'scores:dueScoresOf': { call: (b, v, db) => scores.dueScoresOf(db, b, v.memories), gives: [] },
  'scores:countDueScores': { call: (b, _, db) => scores.countDueScores(db, b, 100), gives: 0 },
  'scores:answeredScores': { call: (b, v, db) => scores.answeredScores(db, b, v.memories), gives: [] },
  'scores:lockWithPins': { call: (b, v, db) => scores.lockWithPins(db, b, v.memories), gives: new Map() },
  'scores:saveScores': {
    call: (b, v, db) =>
      scores.saveScores(
        db,
        b,
        v.memories.map((id) => ({ id, significance: 3 })),
      ),
    gives: undefined,
  },
  'scores:saveRests': {
    call: (b, v, db) =>
      scores.saveRests(
        db,
        b,
        v.memories.map((id) => ({ id, attempts: 5, restMs: null, parked: 'stolen' })),
      ),
    gives: undefined,
  },
  'pins:savePins': {
    call: (b, v, db) =>
      pins.savePins(
        db,
        b,
        v.memories.map((id) => ({ id, pin: 'manual' as const })),
      ),
    gives: undefined,
  },
  'pins:removePin': { call: (b, v, db) => pins.removePin(db, b, v.pending), gives: undefined },
  'scopes:readScopeEpoch': { call: (b, _, db) => scopes.readScopeEpoch(db, b, tags), gives: 0 },
  'scopes:lockScope': { call: (b, _, db) => scopes.lockScope(db, b, tags), gives: null },
  'scopes:advanceScope': { call: (b, _, db) => scopes.advanceScope(db, b, tags, 99), gives: undefined },
  'cost-report:countConsolidated': {
    call: (b, v, db) => costs.countConsolidated(db, b, { attemptId: v.attemptId, memories: 3 }),
    gives: undefined,
  },
  'cost-report:costReport': {
    call: (b, _, db) => costs.costReport(db, { from: '2025-01-01', to: '2027-01-01', by: 'model', bankId: b }),
    gives: [],
  },
  'model-answers:findModelAnswer': {
    call: (b, v, db) => modelAnswers.findModelAnswer(db, b, v.requestHash),
    gives: undefined,
  },
  'model-calls:reserveCall': {
    // A call of its own; that the request was made before, by another, it does not learn.
    call: (b, v, db) =>
      modelCalls
        .reserveCall(db, b, newCall(v), { nanoUsd: 1e9, tokens: null, unpricedTokens: 1 })
        .then(({ kind }) => kind),
    gives: 'reserved',
  },
  'model-calls:settleCall': { call: (b, v, db) => modelCalls.settleCall(db, b, settlementOf(v)), gives: null },
  'changed-observations:readChangeMark': {
    call: async (b, _, db) => (await changed.readChangeMark(db, 'sweep_marks', b))?.seen,
    gives: null,
  },
  'changed-observations:moveChangeMark': {
    call: (b, _, db) => changed.moveChangeMark(db, 'sweep_marks', b, { xid: '9', id: changed.beforeAllRows }),
    gives: undefined,
  },
  'changed-observations:changedObservations': {
    call: (b, _, db) => changed.changedObservations(db, b, { ...everyChange, limit: 100 }),
    gives: [],
  },
  'changed-observations:countChanged': {
    call: (b, _, db) => changed.countChanged(db, b, { ...everyChange, upTo: 100 }),
    gives: 0,
  },
  'digest-rows:opsOfNight': {
    call: (b, _, db) => digestRows.opsOfNight(db, b, { ...everyNight, eachKind: 9 }),
    gives: [],
  },
  'digest-rows:refusalsOfNight': { call: (b, _, db) => digestRows.refusalsOfNight(db, b, everyNight), gives: [] },
  'digest-rows:conflictsOfNight': { call: (b, _, db) => digestRows.conflictsOfNight(db, b, everyNight), gives: [] },
  'digest-rows:proposalsOfNight': { call: (b, _, db) => digestRows.proposalsOfNight(db, b, everyNight), gives: [] },
  'digest-rows:pinsOfNight': {
    call: (b, _, db) => digestRows.pinsOfNight(db, b, { ...everyNight, eachChange: 9 }),
    gives: [],
  },
  'digest-rows:parkedInNight': { call: (b, _, db) => digestRows.parkedInNight(db, b, everyNight), gives: [] },
  'sweep-rows:leftToPeople': {
    call: (b, v, db) => sweepRows.leftToPeople(db, b, [{ older: v.live, younger: v.rival }]),
    gives: new Set(),
  },
  'contradiction-pairs:conflictedWith': {
    call: (b, v, db) => contradictionPairs.conflictedWith(db, b, v.live, [v.rival]),
    gives: new Set(),
  },
  'integrity:markUnsupported': { call: (b, _, db) => integrity.markUnsupported(db, b), gives: 0 },
  'integrity:countFoldedChains': { call: (b, _, db) => integrity.countFoldedChains(db, b), gives: 0 },
  'integrity:countMisfitVectors': { call: (b, _, db) => integrity.countMisfitVectors(db, b), gives: 0 },
  'integrity:countFarAttempts': { call: (b, _, db) => integrity.countFarAttempts(db, b), gives: 0 },
  'integrity:countStrandedProposals': { call: (b, _, db) => integrity.countStrandedProposals(db, b), gives: 0 },
  'erasure:lockScopes': { call: (b, _, db) => erasure.lockScopes(db, b, [tags]), gives: new Map() },
  'erasure:lockForErasure': {
    call: (b, v, db) => erasure.lockForErasure(db, b, { memoryId: v.pending, members: v.memories, sources: [] }),
    gives: undefined,
  },
  'erasure:lockObservationsForErasure': {
    call: (b, v, db) => erasure.lockObservationsForErasure(db, b, v.observations),
    gives: new Map(),
  },
  'erasure:deleteObservations': {
    call: (b, v, db) => erasure.deleteObservations(db, b, v.observations),
    gives: undefined,
  },
  'erasure:deleteLinksTo': { call: (b, v, db) => erasure.deleteLinksTo(db, b, v.consolidated), gives: undefined },
  'erasure:deleteMemory': { call: (b, v, db) => erasure.deleteMemory(db, b, v.pending), gives: undefined },
  'erasure:reopenMemories': { call: (b, v, db) => erasure.reopenMemories(db, b, v.memories), gives: undefined },
  'erasure-scrub:scrubHistory': {
    call: (b, v, db) =>
      erasureScrub.scrubHistory(db, b, { memoryId: v.consolidated, observationIds: v.observations }, [v.changeSetId]),
    gives: { ops: 0, conflicted: [] },
  },
  'erasure-scrub:lockSetsBeside': {
    call: (b, v, db) =>
      erasureScrub.lockSetsBeside(db, b, { memoryId: v.consolidated, observationIds: v.observations }),
    gives: [],
  },
  'erasure-scrub:scrubByproducts': {
    call: (b, v, db) =>
      erasureScrub.scrubByproducts(db, b, {
        memoryId: v.consolidated,
        observationIds: v.observations,
        explainedIds: v.memories,
      }),
    gives: undefined,
  },
  'erasures:insertErasure': {
    // Ids only, without keys: they outlive what they name. What it notes stays in its own bank.
    call: (b, v, db) => erasures.insertErasure(db, b, { memoryId: v.pending, observationIds: v.observations }),
    gives: undefined,
  },
  'erasures:mayKeepSayingOf': {
    call: (b, v, db) => db.tx({ label: 'test' }, (tx) => erasures.mayKeepSayingOf(tx, b, [v.live])),
    gives: false,
  },
  'erasures:holdFromErasure': { call: (b, v, db) => erasures.holdFromErasure(db, b, v.observations), gives: undefined },
  'erasures:wasErasedSince': {
    call: (b, v, db) =>
      erasures.wasErasedSince(db, b, { missingMemoryIds: v.memories, observationIds: v.observations, scopeEpoch: 0 }),
    gives: false,
  },
  'erasures-due:dropErasureDue': {
    call: async (b, v, db) => {
      const due = { bankId: v.bankId, memoryId: v.live, erasedAt: new Date() };
      await erasuresDue.addErasuresDue(db, [due]);
      const gone = await db.tx({ label: 'test' }, (tx) => erasuresDue.dropErasureDue(tx, b, v.live));
      const { rowCount: left } = await db.query('delete from engram.erasures_due where bank_id = $1', [v.bankId]);
      return { gone, left };
    },
    gives: { gone: true, left: 1 },
  },
  'erasures-due:findErasure': { call: (b, v, db) => erasuresDue.findErasure(db, b, v.live), gives: undefined },
  'invalidation:invalidateMemory': {
    call: (b, v, db) => invalidation.invalidateMemory(db, b, v.consolidated),
    gives: undefined,
  },
  'invalidation:dependentsOf': { call: (b, v, db) => invalidation.dependentsOf(db, b, v.consolidated), gives: [] },
  'lineage:historyHolds': { call: (b, v, db) => lineage.historyHolds(db, b, v.consolidated), gives: false },
  'lineage:leavesTraces': { call: (b, v, db) => lineage.leavesTraces(db, b, v.consolidated), gives: false },
  'lineage:lineageOf': { call: (b, v, db) => lineage.lineageOf(db, b, v.consolidated), gives: [] },
  'lineage:loadLineage': { call: (b, v, db) => lineage.loadLineage(db, b, v.observations), gives: [] },
  'lineage:pointersAt': { call: (b, v, db) => lineage.pointersAt(db, b, [v.live]), gives: [] },
  'lineage:setsBeside': {
    call: (b, v, db) => lineage.setsBeside(db, b, { memoryId: v.pending, observationIds: v.observations }),
    gives: [],
  },
  'lineage:memoriesBeside': {
    call: (b, v, db) => lineage.memoriesBeside(db, b, { memoryId: v.pending, observationIds: v.observations }),
    gives: { proposed: [], explained: [] },
  },
  'requeue:requeueDecidedOtherwise': {
    call: (b, _, db) => requeue.requeueDecidedOtherwise(db, b, { decidedBy: 'other', after: null }),
    gives: { memories: 0, after: null },
  },
  'requeue:requeueHeld': { call: (b, _, db) => requeue.requeueHeld(db, b, null), gives: { memories: 0, after: null } },
  'timeline:readBack': {
    // A bank's own beginning is all that there is of it.
    call: async (b, _, db) => {
      const page = await timeline.readBack(db, { bankId: b, kind: null, before: null, limit: 100 });
      return page?.rows.map((row) => [row.kind, row.text]);
    },
    gives: [['bank.created', null]],
  },
  'timeline:readOn': {
    call: async (b, _, db) => {
      const { store } = await timeline.endOfTimeline(db);
      const from = { bankId: b, kind: 'memory', after: { store, xid: '0', id: 0 } };
      const pages = await timeline.readOn(db, [from, from], 100);
      return pages.map((page) => page?.rows);
    },
    gives: [[], []],
  },
  'verdicts:findVerdict': {
    call: (b, v, db) => verdicts.findVerdict(db, b, { key: v.verdictKey, subjectIds: [v.live] }),
    gives: undefined,
  },
  'verdicts:storeVerdict': {
    call: (b, v, db) =>
      db.tx({ label: 'test' }, (tx) =>
        verdicts.storeVerdict(tx, b, { key: v.verdictKey, subjectIds: [v.live], verdict: 'same', reason: 'stolen' }),
      ),
    gives: false,
  },
  'verdicts:eraseVerdicts': { call: (b, v, db) => verdicts.eraseVerdicts(db, b, [v.live]), gives: 0 },
  'vectors/exact-index:createExactIndex': {
    async call(b, _, db) {
      const index = createExactIndex({ db, log: silentLog });
      try {
        const base = { bankId: b, model, vector: vectorOf('secret kite'), limit: 100, liveOnly: false };
        return await index.nearest([
          { ...base, target: 'memories' },
          { ...base, target: 'observations', scope: tags },
        ]);
      } finally {
        await index.release();
      }
    },
    gives: [[], []],
  },
  'shared-builds:createBuildStore': {
    async call(b, _, db) {
      const store = createBuildStore(db);
      const build = { rows: 1, seenXid: '3', isComplete: true, payload: Buffer.from('stolen') };
      const [ours, own] = ['victim', b].map((bankId) => ({ bankId, kind: 'test', key: 'build' })) as [
        BuildKey,
        BuildKey,
      ];
      const lease = await store.claim(ours, uuid(), 60_000);
      const fence = typeof lease === 'string' ? 0 : lease.fence;
      await store.save(ours, fence, build);
      const given = [await store.load(own), await store.save(own, fence, build)];
      await db.query("delete from engram.shared_builds where bank_id = 'victim'");
      await db.query("delete from engram.build_leases where bank_id = 'victim'");
      return given;
    },
    gives: [null, false],
  },
  'neighbours/create-neighbour-lists:createNeighbourLists': {
    async call(b, _, db) {
      const lists = createNeighbourLists({
        db,
        clock: systemClock,
        log: silentLog,
        metrics: createMetrics(),
        racepoints: inertRacepoints,
        instanceId: uuid(),
        floorOf: () => -1,
      });
      const found = await lists.of(b, model, { signal: new AbortController().signal });
      return found?.ids();
    },
    gives: [],
  },
  'neighbours/neighbour-rows:readNeighbourPage': {
    call: (b, _, db) => neighbourRows.readNeighbourPage(db, b, { modelId: model, after: null, limit: 100 }),
    gives: [],
  },
  'neighbours/neighbour-rows:countNeighbourRows': {
    call: (b, _, db) => neighbourRows.countNeighbourRows(db, b, { modelId: model, seenXid: '0', most: 100 }),
    gives: { rows: 0, dirty: 0 },
  },
  'vectors/matrix-rows:readWhole': {
    async call(b, _, db) {
      const seen: unknown[] = [];
      for (const target of ['memories', 'observations'] as const) {
        const options = { filter: { scope: null, liveOnly: false }, pageRows: 100 };
        await matrixRows.readWhole(db, { bankId: b, target, model }, options, async (rows) => {
          seen.push(...rows);
          return 'continue';
        });
      }
      return seen;
    },
    gives: [],
  },
  'vectors/matrix-rows:readDelta': {
    async call(b, _, db) {
      const beginning = { snapshot: '3:3:', readAtSeconds: Date.now() / 1000 };
      const read = (target: 'memories' | 'observations') =>
        matrixRows.readDelta(db, { bankId: b, target, model }, beginning, 100);
      return [...(await read('memories')).rows, ...(await read('observations')).rows];
    },
    gives: [],
  },
};

/** What is exported and takes no id of a bank's, and why it is not a case. */
const exempt: Record<string, string> = {
  'backup-rows:insertBackup': 'backups are of the whole database',
  'backup-rows:noteBackupWritten': 'backups are of the whole database',
  'backup-rows:noteBackupVerified': 'backups are of the whole database',
  'backup-rows:noteBackupUnchanged': 'backups are of the whole database',
  'backup-rows:noteBackupFailed': 'backups are of the whole database',
  'backup-rows:failInterruptedBackups': 'backups are of the whole database',
  'backup-rows:noteBackupPruned': 'backups are of the whole database',
  'backup-rows:knowsVerifiedBackup': 'backups are of the whole database',
  'backup-expiry:readHoldingBackups': 'backups are of the whole database',
  'changed-since:hasChangedSince': 'whether anything has changed, over all banks',
  'changed-since:hasNewRows': 'whether anything has changed, over all banks',
  'store-origin:readStoreIdentity': 'one store a database',
  'store-origin:isSameDatabase': 'reads no table',
  'store-origin:readStoreId': 'one store a database',
  'store-origin:isEmptyStore': 'whether there is anything, over all banks',
  'store-origin:readStoreOrigin': 'reads the catalog',
  'snapshots:changedSinceSnapshot': 'asks for all banks on purpose, and gives each by its name',
  'erasures-due:addErasuresDue': 'restores and imports bring rows of any bank, each with its name',
  'erasures-due:selectErasuresDue': 'asks for all banks on purpose, and gives each by its name',
  'erasures-due:selectErasures': 'asks for all banks on purpose, and gives each by its name',
  'erasures-due:hasErasures': 'reads no table',
  'erasures-due:notifyOfErasure': 'reads no table',
  'store-epoch:readStoreEpoch': 'one store a database',
  'store-epoch:admitToStore': 'one store a database',
  'recall-rows:toObservation': 'reads no table',
  'changed-banks:nextChangedBank': 'asks for any bank on purpose, and gives its name',
  'demand:hasNewWork': 'whether anything waits, over all banks',
  'due-work:notifyOfWork': 'reads no table',
  'memory-chunk:memoryChunk': 'reads no table',
  'text-hits-sql:queryWords': 'a part of statements that are tried',
  'text-hits-sql:scoredHits': 'a part of statements that are tried',
  'instances:lastExitOn': 'instances belong to no bank',
  'prune:pruneInstances': 'instances belong to no bank',
  'prune:pruneSleepSteps': 'cycles belong to no bank',
  'prune:pruneStepFailures': 'steps belong to no bank',
  'sleep-cycles:openCycle': 'cycles belong to no bank',
  'sleep-cycles:beginStep': 'cycles belong to no bank',
  'sleep-cycles:saveStep': 'cycles belong to no bank',
  'sleep-cycles:endStep': 'cycles belong to no bank',
  'sleep-cycles:finishCycle': 'cycles belong to no bank',
  'sleep-history:latestCycle': 'cycles belong to no bank',
  'sleep-history:hasOpenCycle': 'cycles belong to no bank',
  'sleep-history:stepFailures': 'steps belong to no bank',
  'sleep-history:cycleTotals': 'cycles belong to no bank',
  'digests:makeDigest': 'totals over all banks',
  'digests:listDigests': 'nights belong to no bank',
  'digests:findDigest': 'nights belong to no bank',
  'digest-rows:banksOfNight': 'asks for all banks on purpose, and gives each by its name',
  'digest-rows:stepsOfNight': 'cycles belong to no bank',
  'digest-rows:costOfNight': 'totals over all banks',
  'budget-ledger:readLedger': 'one budget a database',
  'cost-report:sampleBacklog': 'totals over all banks',
  'shared-builds:pruneSharedBuilds': 'by age over all banks',
  'neighbours/neighbour-rows:readSeenXid': 'reads no table',
  'neighbours/neighbour-rows:readDimensions': 'models belong to no bank',
  'model-breakers:breakerOf': 'reads no table',
  'model-breakers:readBreaker': 'endpoints belong to no bank',
  'model-breakers:openBreaker': 'endpoints belong to no bank',
  'model-breakers:claimProbe': 'endpoints belong to no bank',
  'model-breakers:failBreaker': 'endpoints belong to no bank',
  'model-breakers:releaseProbe': 'endpoints belong to no bank',
  'model-breakers:closeBreaker': 'endpoints belong to no bank',
  'model-breakers:probeSoon': 'endpoints belong to no bank',
  'model-breakers:readModelHealth': 'endpoints belong to no bank',
  'model-calls:readTokensPerByte': 'a rate over all calls of a model',
  'prune:pruneModelAnswers': 'by age, over all banks',
  'prune:pruneVerdicts': 'by age, over all banks',
  'prune:pruneModelBreakers': 'endpoints belong to no bank',
  'banks:listBanks': 'lists banks; what is in them it does not touch',
  'counts:countStore': 'totals over all banks',
  'score-counts:countScores': 'totals over all banks',
  'score-counts:scoresSince': 'totals over all banks',
  'pins:banksOverPinCap': 'asks which banks there are to look at',
  'due-work:banksWithWork': 'asks for all banks on purpose: it is how work is found',
  'embedding-models:pinEmbeddingModel': 'one model a database',
  'embedding-models:activeEmbeddingModel': 'one model a database',
  'embedding-models:holdEmbeddingModel': 'one model a database',
  'embedding-models:readCalibration': 'one figure a model',
  'embedding-models:setCalibration': 'one figure a model',
  'embedding-switch:readSwitch': 'a switch is of the whole database',
  'embedding-switch:beginSwitch': 'a switch is of the whole database',
  'embedding-switch:claimSwitch': 'a switch is of the whole database',
  'embedding-switch:leaveSwitch': 'a switch is of the whole database',
  'embedding-switch:clearSwitchProblem': 'a switch is of the whole database',
  'embedding-switch:cancelSwitch': 'a switch is of the whole database',
  'embedding-switch:lockSwitch': 'a switch is of the whole database',
  'embedding-switch:flipModel': 'a switch is of the whole database',
  'embedding-switch:switchCost': 'what a switch of the whole database cost',
  'next-embeddings:measureSwitch': 'totals over all banks',
  'next-embeddings:bankIdsInOrder': 'lists banks; what is in them it does not touch',
  'instances:insertInstance': 'instances belong to no bank',
  'instances:touchInstance': 'instances belong to no bank',
  'instances:buryInstances': 'instances belong to no bank',
  'instances:finishInstance': 'instances belong to no bank',
  'instances:parkInstance': 'instances belong to no bank',
  'instances:unparkInstance': 'instances belong to no bank',
  'backup-freshness:readBackupHistory': 'backups are of the whole database',
  'leader:acquireLeadership': 'one leader a database',
  'leader:renewLeadership': 'one leader a database',
  'leader:releaseLeadership': 'one leader a database',
  'leader:releaseLeadershipOfStopped': 'one leader a database',
  'lifecycle:readLife': 'one life a database',
  'lifecycle:claimTick': 'one life a database',
  'lifecycle:moveState': 'one life a database',
  'lifecycle:wakeUp': 'one life a database',
  'lifecycle:forceSleep': 'one life a database',
  'lifecycle:setPause': 'one life a database',
  'lifecycle:clearPause': 'one life a database',
  'memories:markWriter': 'sets a variable of its transaction',
  'model-abilities:readModelAbilities': 'endpoints belong to no bank',
  'model-abilities:saveModelAbilities': 'endpoints belong to no bank',
  'prune:pruneIdempotencyKeys': 'by age, over all banks',
  'prune:pruneAttempts': 'by age, over all banks',
  'server-facts:readServerFacts': 'reads no table of ours',
  'server-facts:readStoreTroubles': 'totals over all banks',
  'timeline:endOfTimeline': 'the end is of all banks',
  'vectors/vector-tombstones:pruneVectorTombstones': 'by age, over all banks',
  'vectors/choose-vector-index:chooseVectorIndex': 'chooses an adapter; those are searched in the conformance suite',
  'vectors/pgvector-index:createPgvectorIndex': 'needs pgvector: searched in the conformance suite',
  'vectors/pgvector-scan:scanRows': 'needs pgvector: searched in the conformance suite',
  'vectors/pgvector-setup:ensureVectorIndex': 'makes an index over all banks',
  'vectors/pgvector-setup:dropVectorIndex': 'drops an index over all banks',
  'vectors/pgvector-statements:indexedStatements': 'needs pgvector: searched in the conformance suite',
  'vectors/pgvector-statements:indexName': 'names an index over all banks',
  'vectors/pgvector-statements:isVectorIndexName': 'reads no table',
};

/** No statement over a bank's rows in these files: they pack and compare what the functions above have read. */
const withoutSql = [
  'neighbours/cluster-rows',
  'neighbours/find-neighbours',
  'neighbours/nearest-table',
  'neighbours/neighbour-codec',
  'neighbours/neighbour-servant',
  'neighbours/neighbour-thread',
  'neighbours/seeded-random',
  'neighbours/unit-rows',
  'vectors/cached-matrix',
  'vectors/fresh-run',
  'vectors/matrix',
  'vectors/matrix-servant',
  'vectors/matrix-thread',
  'vectors/matrix-worker',
  'vectors/model-dimensions',
  'vectors/query-groups',
  'vectors/streamed-search',
  'vectors/top-hits',
  'vectors/vector-bytes',
  'vectors/vector-errors',
];

/** `file:name` of every function of the store. Read and not imported: one of the files is the body of a thread. */
function exportsOfStore(): string[] {
  const store = new URL('../../src/store/', import.meta.url).pathname;
  return readdirSync(store, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const name = file.replace(/\.ts$/, '');
      const text = readFileSync(`${store}${file}`, 'utf8');
      const exported = /^export (?:(?:async )?function\*? |class |const (?=\w+(?:: \w+)? = (?:async )?\())(\w+)/gm;
      return [...text.matchAll(exported)].map((match) => ({ file: name, key: `${name}:${match[1]}` }));
    })
    .filter(({ file }) => !withoutSql.includes(file))
    .map(({ key }) => key);
}

let database: TestDatabase;
let victim: VictimBank;
beforeAll(async () => {
  database = await createTestDatabase();
  victim = await createVictim(database.db, 'victim');
});
afterAll(() => database.drop());

test('every function of the store is tried or exempt with a reason', () => {
  const known = [...Object.keys(cases), ...Object.keys(exempt)];
  expect(known.toSorted()).toEqual(exportsOfStore().toSorted());
  expect(new Set(known).size).toBe(known.length);
});

test.each(Object.entries(cases))(
  '%s gives nothing of another bank and changes nothing there',
  async (name, { call, gives }) => {
    const { db } = database;
    const thief = `thief-${name.replace(/[^a-z]/gi, '-')}`;
    await banks.createBank(db, thief);
    const before = await imageOfBank(db, 'victim');
    let given: unknown;
    try {
      given = await call(thief, victim, db);
    } catch (thrown) {
      // A foreign key of (bank_id, id): the row named is not in this bank.
      if (sqlState(thrown) !== '23503') throw thrown;
      given = 'refused';
    }
    expect(given).toEqual(gives);
    expect(await imageOfBank(db, 'victim')).toEqual(before);
  },
);

test('the same calls on the bank itself do give something', async () => {
  const { db } = database;
  const own = 'victim';
  const found = await Promise.all([
    applyLocks.lockMemories(db, own, { members: victim.memories, sources: [] }).then((locked) => locked.size),
    applyLocks.lockObservations(db, own, victim.observations, []).then((locked) => locked.size),
    evidence.restingOnPins(db, own, victim.observations).then((ids) => ids.size),
    attempts.attemptsOf(db, own, victim.memories).then((rows) => rows.length),
    history.opsTouching(db, own, victim.live).then((rows) => rows.length),
    history.listConflicts(db, own, { status: null, observationId: victim.live, limit: 9 }).then((rows) => rows.length),
    dueMemories.selectDueMemories(db, own, { limit: 9, inHand: [] }).then((rows) => rows.length),
    memories.selectUnembedded(db, own, 9).then((rows) => rows.length),
    memoryRows.loadMemories(db, own, victim.memories).then((rows) => rows.length),
    recallRows.textHits(db, recallScope(own), { query: 'secret kite', limit: 100 }).then((rows) => rows.length),
    recallRows.loadCandidates(db, recallScope(own), victim).then(({ coverage }) => coverage.length),
    recallRows.pinnedMemories(db, recallScope(own), 100).then((rows) => rows.length),
    asOfRows
      .textHitsAsOf(db, recallScope(own), { query: 'secret kite', limit: 100, at: victim.stoodAt })
      .then((rows) => rows.length),
    asOfRows.loadCandidatesAsOf(db, recallScope(own), { ...victim, at: victim.stoodAt }).then((c) => c.coverage.length),
    asOfRows.citationsAsOf(db, own, { memoryIds: victim.memories, at: victim.stoodAt }).then((rows) => rows.length),
    asOfVectors.loadVectorsApart(db, own, { model, rows: apart(victim) }).then((rows) => rows.length),
    snapshots.listSnapshots(db, own).then((rows) => rows.length),
    snapshots.textsInVersions(db, own, wantedTexts(victim)).then((texts) => texts.filter((text) => text).length),
    timeline
      .readBack(db, { bankId: own, kind: 'memory', before: null, limit: 9 })
      .then((page) => page?.rows.filter((row) => row.text !== null).length ?? 0),
    replanWork.selectReplans(db, own, { limit: 9, inHand: [] }).then((rows) => rows.length),
    scopes.readScopeEpoch(db, own, tags),
    modelAnswers.findModelAnswer(db, own, victim.requestHash).then((found) => (found === 'secret answer' ? 1 : 0)),
    verdicts.findVerdict(db, own, { key: victim.verdictKey, subjectIds: [] }).then((found) => (found ? 1 : 0)),
    changed.countChanged(db, own, { ...everyChange, upTo: 100 }),
    digestRows.conflictsOfNight(db, own, everyNight).then((rows) => rows.length),
    sweepRows.leftToPeople(db, own, [{ older: victim.live, younger: victim.rival }]).then((left) => left.size),
  ]);
  expect(found.every((count) => count > 0)).toBe(true);
});
