import type { RelatedObservation } from '../store/related-observations.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { notesOn, type Refusal } from './notes.ts';
import { memoryTokens } from './packing.ts';
import { type EmbeddedMemory, memoryAliasAt, type Presentation, present } from './present.ts';
import { recallRelated } from './recall-related.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';

export interface BatchToShow {
  readonly bankId: string;
  readonly tags: readonly string[];
  readonly mission: string;
  readonly memories: readonly EmbeddedMemory[];
  /** Observations to show whatever their rank and size: what an earlier answer was lost to. */
  readonly mustShow: readonly string[];
  /** What an earlier answer of this batch said and was refused, by memory; a memory that it left out has an empty list. */
  readonly refusals: ReadonlyMap<string, readonly Refusal[]>;
}

export interface Shown {
  readonly presentation: Presentation;
  readonly observations: readonly RelatedObservation[];
  /** Memories, by index, that may repeat an observation for which there was no room. */
  readonly incomplete: ReadonlySet<number>;
}

/**
 * What a decider is shown of a batch: the same for a run and for a dry run, so that the run finds the answer that the dry
 * run has paid for.
 */
export async function showBatch(
  deps: Pick<ConsolidationDeps, 'db' | 'vectors' | 'embedder' | 'decider' | 'newId'>,
  batch: BatchToShow,
): Promise<Shown> {
  const { limits } = deps.decider;
  const notes = notesFor(batch);
  const over = batch.memories.reduce((sum, memory) => sum + memoryTokens(memory, limits), 0) - limits.memoryTokens;
  const spoken = notes.reduce((sum, note) => sum + limits.tokensOf(note), 0);
  const model = deps.embedder.model.id;
  const { observations, incomplete } = await recallRelated(deps, {
    bankId: batch.bankId,
    tags: batch.tags,
    model,
    withSources: deps.decider.readsSources,
    memories: batch.memories,
    repeatSimilarity: repeatSimilarityOf(deps.embedder.model),
    limits: {
      // A memory over its own limit, alone in its batch, and the notes take the room of observations.
      observationTokens: Math.max(0, limits.observationTokens - Math.max(0, over) - spoken),
      tokensOf: limits.tokensOf,
    },
    mustShow: batch.mustShow,
  });
  return { presentation: presentWith(deps, batch, observations, notes), observations, incomplete };
}

/** The batch beside exactly these observations. */
export function showBeside(
  deps: Pick<ConsolidationDeps, 'newId'>,
  batch: BatchToShow,
  observations: readonly RelatedObservation[],
): Presentation {
  return presentWith(deps, batch, observations, notesFor(batch));
}

function presentWith(
  deps: Pick<ConsolidationDeps, 'newId'>,
  { mission, memories }: BatchToShow,
  observations: readonly RelatedObservation[],
  notes: readonly string[],
): Presentation {
  return present({ mission, memories, observations, notes, newId: deps.newId });
}

function notesFor({ memories, refusals }: BatchToShow): string[] {
  return notesOn(
    memories.map((memory, index) => ({
      alias: memoryAliasAt(index),
      attempts: memory.attempts,
      refusals: refusals.get(memory.id) ?? null,
    })),
  );
}
