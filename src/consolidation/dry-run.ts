import { embeddingText } from '../models/embedding-text.ts';
import { bankMission } from '../store/bank-mission.ts';
import { selectDueMemories } from '../store/due-memories.ts';
import { costOfRequests } from '../store/request-costs.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Alias, ProposedOp } from './decider.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import type { DryRunReport } from './engine.ts';
import { failureOf } from './failures.ts';
import { limitsOf, type PackedBatch, packBatches } from './packing.ts';
import { showBatch } from './show-batch.ts';
import { validateProposal } from './validators/validate-proposal.ts';

const defaultLimit = 50;

/**
 * What the next run would propose for the oldest due memories. Reads, decides, judges, and writes nothing to the store of
 * memories. A model is asked and paid for all the same; its answers are kept, and the run over the same batch uses them.
 * A batch that fails by its content is told of beside the others. Nothing runs on after the end, whatever the end is.
 *
 * @throws whatever is no batch's fault: ModelUnavailableError, BudgetSpentError, the signal's reason
 */
export async function dryRun(
  deps: ConsolidationDeps,
  bankId: string,
  options: { readonly signal: AbortSignal; readonly limit?: number },
): Promise<DryRunReport> {
  const startedMs = deps.clock.monotonicMs();
  const mission = (await bankMission(deps.db, bankId)) ?? '';
  const limits = limitsOf(deps);
  // The page that a run would take, or its batches would be others.
  const due = await selectDueMemories(deps.db, bankId, { limit: deps.concurrency * limits.memories, inHand: [] });
  const batches = within(packBatches(due, () => [], limits).batches, options.limit ?? defaultLimit);
  const requestHashes: Buffer[] = [];
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const settled = await Promise.allSettled(
    batches.map(async (packed): Promise<Pick<DryRunReport, 'ops' | 'rejected' | 'undecided'>> => {
      try {
        const proposed = await proposeOnly(deps, { bankId, mission, packed, signal, requestHashes });
        return { ...proposed, undecided: [] };
      } catch (thrown) {
        if (signal.aborted || failureOf(thrown).kind !== 'content') {
          // The others would fail alike, or be paid for with nobody there to read them.
          failed.abort(thrown);
          throw thrown;
        }
        const memories = packed.memories.map((memory) => memory.text);
        return { ops: [], rejected: [], undecided: [{ memories, reason: errorMessage(thrown) }] };
      }
    }),
  );
  signal.throwIfAborted();
  const proposals = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const runningSeconds = (deps.clock.monotonicMs() - startedMs) / 1000 + 1;
  const { calls, nanoUsd } = await costOfRequests(deps.db, bankId, { requestHashes, runningSeconds });
  return {
    memories: batches.reduce((sum, batch) => sum + batch.memories.length, 0),
    ops: proposals.flatMap(({ ops }) => ops),
    rejected: proposals.flatMap(({ rejected }) => rejected),
    undecided: proposals.flatMap(({ undecided }) => undecided),
    calls,
    costUsd: nanoUsd / 1e9,
  };
}

/** Whole batches as far as they go; only a first one that is too large is cut, and pays for itself. */
function within(batches: readonly PackedBatch[], limit: number): PackedBatch[] {
  const taken: PackedBatch[] = [];
  let left = limit;
  for (const batch of batches) {
    if (taken.length > 0 && batch.memories.length > left) break;
    const memories = batch.memories.slice(0, left);
    taken.push({ ...batch, memories });
    left -= memories.length;
  }
  return taken.filter((batch) => batch.memories.length > 0);
}

async function proposeOnly(
  deps: ConsolidationDeps,
  request: {
    readonly bankId: string;
    readonly mission: string;
    readonly packed: PackedBatch;
    readonly signal: AbortSignal;
    readonly requestHashes: Buffer[];
  },
): Promise<Pick<DryRunReport, 'ops' | 'rejected'>> {
  const { bankId, mission, packed, signal } = request;
  const vectors = await deps.embedder.embed(packed.memories.map(embeddingText), { purpose: 'memory', signal, bankId });
  const memories = packed.memories.flatMap((memory, index) => {
    const embedding = vectors[index];
    return embedding ? [{ ...memory, embedding }] : [];
  });
  const { presentation, observations } = await showBatch(deps, {
    bankId,
    mission,
    memories,
    tags: packed.memories[0]?.tags ?? [],
    mustShow: [],
    refusals: new Map(),
  });
  const { batch } = presentation;
  const proposal = await deps.decider.propose(batch, {
    signal,
    bankId,
    subjectIds: [...memories, ...observations].map((row) => row.id),
    onRequest: async (requestHash) => {
      request.requestHashes.push(requestHash);
    },
  });
  const judged = validateProposal(batch, proposal);
  const textOfAlias = new Map<Alias, string>([
    ...batch.memories.map((memory): [Alias, string] => [memory.alias, memory.text]),
    ...batch.observations.map((observation): [Alias, string] => [observation.alias, observation.text]),
    ...judged.accepted.flatMap((op): [Alias, string][] => ('as' in op ? [[op.as, op.text]] : [])),
  ]);
  return {
    ops: judged.accepted.map((op) => describe(op, textOfAlias)),
    rejected: [
      ...(proposal.malformed ?? []).map(({ reason }) => ({ validator: 'malformed-op' as const, reason })),
      ...judged.rejected.map(({ validator, reason }) => ({ validator, reason })),
    ],
  };
}

function describe(op: ProposedOp, textOfAlias: ReadonlyMap<Alias, string>): DryRunReport['ops'][number] {
  const text = (alias: Alias) => textOfAlias.get(alias) ?? '';
  return {
    op: op.op,
    before: 'target' in op ? text(op.target) : null,
    after: 'text' in op ? op.text : op.op === 'fold' ? text(op.into) : null,
    sources: 'memories' in op ? op.memories.map(text) : [],
    reason: op.reason,
  };
}
