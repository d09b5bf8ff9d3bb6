import { embeddingText } from '../models/embedding-text.ts';
import { bankMission } from '../store/bank-mission.ts';
import { selectDueMemories } from '../store/due-memories.ts';
import type { Alias, ProposedOp } from './decider.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import type { DryRunReport } from './engine.ts';
import { batchLimits, packBatches } from './packing.ts';
import { present } from './present.ts';
import { recallRelated } from './recall-related.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';
import { validateProposal } from './validators/validate-proposal.ts';

const defaultLimit = 50;

/** What the next run would propose for the oldest due memories. Reads, decides, judges, and writes nothing. */
export async function dryRun(
  deps: ConsolidationDeps,
  bankId: string,
  options: { readonly signal: AbortSignal; readonly limit?: number },
): Promise<DryRunReport> {
  const mission = (await bankMission(deps.db, bankId)) ?? '';
  const due = await selectDueMemories(deps.db, bankId, { limit: options.limit ?? defaultLimit, inHand: [] });
  const ops: DryRunReport['ops'][number][] = [];
  const rejected: DryRunReport['rejected'][number][] = [];
  for (const packed of packBatches(due, () => [], deps.batchMemories ?? batchLimits.memories).batches) {
    const vectors = await deps.embedder.embed(packed.memories.map(embeddingText), {
      purpose: 'memory',
      signal: options.signal,
    });
    const memories = packed.memories.flatMap((memory, index) => {
      const embedding = vectors[index];
      return embedding ? [{ ...memory, embedding }] : [];
    });
    const tags = packed.memories[0]?.tags ?? [];
    const model = deps.embedder.model.id;
    const repeatSimilarity = repeatSimilarityOf(model);
    const { observations } = await recallRelated(deps, {
      bankId,
      tags,
      model,
      memories,
      repeatSimilarity,
      withSources: deps.decider.readsSources,
    });
    const { batch } = present({ mission, memories, observations, newId: deps.newId });
    const judged = validateProposal(
      batch,
      await deps.decider.propose(batch, {
        signal: options.signal,
        bankId,
        subjectIds: [...memories, ...observations].map((row) => row.id),
      }),
    );
    const textOfAlias = new Map<Alias, string>([
      ...batch.memories.map((memory): [Alias, string] => [memory.alias, memory.text]),
      ...batch.observations.map((observation): [Alias, string] => [observation.alias, observation.text]),
      ...judged.accepted.flatMap((op): [Alias, string][] => ('as' in op ? [[op.as, op.text]] : [])),
    ]);
    ops.push(...judged.accepted.map((op) => describe(op, textOfAlias)));
    rejected.push(...judged.rejected.map(({ validator, reason }) => ({ validator, reason })));
  }
  return { memories: due.length, ops, rejected };
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
