import { embeddingText } from '../models/embedding-text.ts';
import type { DueMemory } from '../store/due-memories.ts';
import type { RelatedObservation } from '../store/related-observations.ts';
import type { Alias, Batch } from './decider.ts';
import { AliasTable } from './plan.ts';

/** A memory with the vector that belongs to its text. */
export interface EmbeddedMemory extends DueMemory {
  readonly embedding: Float32Array;
}

/** What a decider is shown, and how its answer is read back. */
export interface Presentation {
  readonly batch: Batch;
  readonly aliases: AliasTable;
  readonly memoryIdOf: (alias: Alias) => string | undefined;
  /** Of an observation that was shown. */
  readonly observationIdOf: (alias: Alias) => string | undefined;
}

/** Of the memory at this place of a batch. */
export function memoryAliasAt(index: number): Alias {
  return `m${index + 1}`;
}

/** Aliases are batch-local: a model that invents `o17` names nothing, where an invented id might name a row. */
export function present(options: {
  readonly mission: string;
  readonly memories: readonly EmbeddedMemory[];
  readonly observations: readonly RelatedObservation[];
  readonly newId: () => string;
  readonly notes: readonly string[];
}): Presentation {
  const memories = new Map(options.memories.map((memory, index) => [memoryAliasAt(index), memory]));
  const observations = new Map(options.observations.map((observation, index) => [`o${index + 1}`, observation]));
  return {
    batch: {
      mission: options.mission,
      memories: [...memories].map(([alias, memory]) => ({
        alias,
        // Scrubbed again (law L20): a row written by plain SQL never went through ingest.
        text: embeddingText(memory),
        context: memory.context,
        occurredStart: memory.occurredStart,
        occurredEnd: memory.occurredEnd,
        mentionedAt: memory.mentionedAt,
        embedding: memory.embedding,
      })),
      observations: [...observations].map(([alias, observation]) => ({
        alias,
        text: observation.text,
        validFrom: observation.validFrom,
        occurredStart: observation.occurredStart,
        occurredEnd: observation.occurredEnd,
        embedding: observation.embedding,
        sources: observation.sources,
      })),
      notes: options.notes,
    },
    aliases: new AliasTable(memories, observations, options.newId),
    memoryIdOf: (alias) => memories.get(alias)?.id,
    observationIdOf: (alias) => observations.get(alias)?.id,
  };
}
