import type { z } from 'zod';
import { excerptsOf, listConflicts, opsTouching, pointersTo, type RecordedOp } from '../../store/change-history.ts';
import { loadMemories, type MemoryRow } from '../../store/memory-rows.ts';
import { loadObservations, type RecalledObservation } from '../../store/recall-rows.ts';
import { notFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { presentConflict, presentMemory, presentObservation, presentOp } from '../present.ts';
import { type Route, route } from '../route.ts';
import { bankItemParams, explanationSchema } from '../schemas.ts';

type Explanation = z.output<typeof explanationSchema>;

/** Sources shown of an observation that is asked about by name. */
const sourcesShown = 50;

export function explainRoutes(deps: AppDeps): Route[] {
  const { db } = deps;

  async function explainMemory(bankId: string, memory: MemoryRow): Promise<Explanation> {
    const ops = await opsTouching(db, bankId, memory.id);
    const cited = await loadObservations(
      db,
      bankId,
      memory.citations.map((citation) => citation.observationId),
      0,
    );
    return {
      type: 'memory',
      why: `${whyMemory(memory, ops)}${whyPinned(memory)}`,
      memory: presentMemory(memory),
      observation: null,
      cited_by: cited.map(({ id, text, state }) => ({ id, text, state })),
      folded: [],
      superseded: [],
      conflicts: [],
      ops: await presentOps(bankId, ops),
    };
  }

  async function explainObservation(bankId: string, observation: RecalledObservation): Promise<Explanation> {
    const ops = await opsTouching(db, bankId, observation.id);
    const { folded, superseded } = await pointersTo(db, bankId, observation.id);
    const conflicts = await listConflicts(db, bankId, { status: null, observationId: observation.id, limit: 500 });
    return {
      type: 'observation',
      why: whyObservation(observation, ops),
      memory: null,
      observation: presentObservation(observation),
      cited_by: [],
      folded,
      superseded,
      conflicts: conflicts.map(presentConflict),
      ops: await presentOps(bankId, ops),
    };
  }

  async function presentOps(bankId: string, ops: readonly RecordedOp[]) {
    const memoryIds = new Set(ops.flatMap((op) => [...op.memoryIds, ...op.sourceIds]));
    const excerpts = new Map((await excerptsOf(db, bankId, [...memoryIds])).map((row) => [row.id, row]));
    return ops.map((op) => presentOp(op, excerpts));
  }

  return [
    route({
      method: 'GET',
      path: '/v1/banks/{bank}/explain/{id}',
      operationId: 'explain',
      summary: 'A memory or an observation: how it stands, what rests on what, and every op that touched it.',
      params: bankItemParams,
      response: explanationSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params: { bank, id } }) {
        const [memory] = await loadMemories(db, bank, [id]);
        if (memory) return { status: 200, body: await explainMemory(bank, memory) };
        const [observation] = await loadObservations(db, bank, [id], sourcesShown);
        if (observation) return { status: 200, body: await explainObservation(bank, observation) };
        throw notFound('memory or observation', id);
      },
    }),
  ];
}

const lastApplied = (ops: readonly RecordedOp[]) => ops.findLast((op) => op.status === 'applied');
const withReason = (text: string, reason: string) =>
  reason === '' ? `${text}.` : `${text}: ${reason.replace(/\.$/, '')}.`;

/** How a memory came to stand as it does. */
function whyMemory(memory: MemoryRow, ops: readonly RecordedOp[]): string {
  if (memory.invalidatedAt) return `It was invalidated on ${memory.invalidatedAt.toISOString()} and supports nothing.`;
  const last = lastApplied(ops);
  const reason = memory.stateReason ?? last?.reason ?? '';
  switch (memory.state) {
    case 'pending':
      return memory.attempts === 0
        ? 'It waits for its first consolidation.'
        : `It waits for another try after ${memory.attempts} without progress, at ${memory.nextAttemptAt.toISOString()}.`;
    case 'consolidated':
      return withReason(last ? `It was consolidated by ${last.decider} (${last.op})` : 'It was consolidated', reason);
    case 'proposed':
      return withReason('A change set that names it waits for review', reason);
    case 'held':
      return withReason('What was made of it was rejected or undone; it is left alone until asked for', reason);
    case 'parked':
      return withReason('It is out of the work until it is retried', reason);
  }
}

function whyPinned({ pin }: MemoryRow): string {
  if (pin === null) return '';
  return pin === 'manual' ? ' It is pinned by hand.' : ' It is pinned by its significance.';
}

/** How an observation came to stand as it does. */
function whyObservation(observation: RecalledObservation, ops: readonly RecordedOp[]): string {
  const last = lastApplied(ops);
  const touched = last ? ` ${withReason(`The last to touch it was a ${last.op}`, last.reason)}` : '';
  const rests = `it rests on ${observation.evidence} ${observation.evidence === 1 ? 'memory' : 'memories'}`;
  switch (observation.state) {
    case 'live': {
      const others = observation.conflicts.length;
      const but = others === 0 ? '' : `, but ${others} other${others === 1 ? '' : 's'} cannot hold beside it`;
      return `It is current${but}; ${rests}.${touched}`;
    }
    case 'superseded':
      return `${observation.supersededBy} took its place; ${rests}.${touched}`;
    case 'folded':
      return `It says the same as ${observation.canonicalId} and is reached through it.${touched}`;
    case 'retired':
      return `It was retired.${touched}`;
  }
}
