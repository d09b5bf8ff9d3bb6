import { widened } from '../consolidation/observation-rows.ts';
import { planReplan } from '../consolidation/replan.ts';
import { newestSource } from '../consolidation/rules/rewrite.ts';
import { embeddingText } from '../models/embedding-text.ts';
import type { ObservationImage } from '../store/change-ops.ts';
import type { LineageObservation, LineageSource } from '../store/lineage.ts';

/** What stands on a memory, as it was read at one instant. */
export interface Lineage {
  /** Those that are gone included: history may hold their texts. */
  readonly observationIds: readonly string[];
  readonly observations: readonly LineageObservation[];
  /** Observations beside the lineage that point into it. */
  readonly pointerIds: readonly string[];
  /** Memories that wait for a change set which the memory or its lineage has a part in. */
  readonly proposedIds: readonly string[];
  /** Memories that keep the reason of a skip beside it. */
  readonly explainedIds: readonly string[];
}

/** What becomes of an observation of the lineage. */
export type Fate =
  /** `orphanIds`: memories that it rested on and that stay; what they say has to be decided anew. */
  | { readonly kind: 'delete'; readonly orphanIds: readonly string[] }
  /** It says what a source that stays says, word for word. `sources`: all that it rests on from now on. */
  | {
      readonly kind: 'write';
      readonly text: string;
      /** Null where it says that already. */
      readonly embedding: Float32Array | null;
      readonly sources: readonly LineageSource[];
    };

/** The embedding model of the database. */
interface ActiveModel {
  readonly id: string;
  readonly dimensions: number;
}

/**
 * An observation is written again from the sources that stay, and from nothing else: in the words of one of them, since any
 * other text may quote what is to be forgotten, and with its vector as it is stored: an endpoint that is down, or a text
 * that the model does not take, would put the erasure off, one of them for ever. One without such a source goes.
 */
export function fateOf(observation: LineageObservation, memoryId: string, model: ActiveModel | null): Fate {
  const left = observation.sources.filter((source) => source.memoryId !== memoryId);
  const decision = planReplan({ ...observation, sources: left });
  if (decision.kind === 'retire') return { kind: 'delete', orphanIds: [] };
  const from = new Set(decision.from.map((source) => source.memoryId));
  const sources = left.filter((source) => from.has(source.memoryId));
  const worded = sources.flatMap((source) =>
    source.text === null ? [] : [{ ...source, text: embeddingText({ text: source.text }) }],
  );
  if (worded.some((source) => source.text === observation.text)) {
    return { kind: 'write', text: observation.text, embedding: null, sources };
  }
  const ready = worded.flatMap((source) => {
    const embedding = usable(source, model);
    return embedding === null ? [] : [{ ...source, embedding }];
  });
  if (ready.length === 0) {
    const own = sources.filter((source) => source.observationId === observation.id);
    return { kind: 'delete', orphanIds: own.map((source) => source.memoryId) };
  }
  const { text, embedding } = newestSource(ready);
  return { kind: 'write', text, embedding, sources };
}

/** Plain SQL may have stored anything under the model's name. */
function usable({ embedding, embeddingModel }: LineageSource, model: ActiveModel | null): Float32Array | null {
  if (embedding === null || model === null || embeddingModel !== model.id) return null;
  return embedding.length === model.dimensions && embedding.every(Number.isFinite) ? embedding : null;
}

/** All that an erasure is computed from, but for what does not change without it: equal means that nothing moved. */
export function fingerprintOf(lineage: Lineage): string {
  return JSON.stringify({
    ...lineage,
    observations: lineage.observations.map(({ embedding: _vector, sources, ...row }) => ({
      ...row,
      sources: sources.map((source) => [
        source.observationId,
        source.memoryId,
        source.linkedVersion,
        source.version,
        source.isValid,
        source.isPending,
        source.sameScope,
      ]),
    })),
  });
}

/** The times of an observation without those that the memory gave it. */
export function boundsWithout(
  image: ObservationImage,
  /** Null: nobody knows them any more. */
  memory: {
    readonly occurredStart: Date | null;
    readonly occurredEnd: Date | null;
    readonly mentionedAt: Date | null;
  } | null,
  sources: readonly LineageSource[],
): Pick<ObservationImage, 'validFrom' | 'occurredStart' | 'occurredEnd'> {
  const isDated =
    memory === null || [memory.occurredStart, memory.occurredEnd, memory.mentionedAt].some((time) => time !== null);
  if (!isDated) return image;
  const left = sources.map((source) => ({
    id: source.memoryId,
    version: source.linkedVersion,
    occurredStart: source.occurredStart,
    occurredEnd: source.occurredEnd,
    heldAt: source.occurredStart ?? source.mentionedAt,
  }));
  return widened({ ...image, validFrom: null, occurredStart: null, occurredEnd: null }, left);
}

/**
 * Where a row points once observations are gone: at what those pointed at, as far as that stays. One that nothing stands
 * above any more is looked at again before anybody leans on it.
 */
export function repointed(
  image: ObservationImage,
  gone: ReadonlyMap<string, ObservationImage>,
  now: string,
): ObservationImage {
  const successor = (id: string): string | null => {
    const seen = new Set<string>();
    let at: string | null = id;
    while (at !== null && gone.has(at) && !seen.has(at)) {
      seen.add(at);
      const row = gone.get(at);
      at = row?.supersededBy ?? row?.canonicalId ?? null;
    }
    return at === image.id || (at !== null && gone.has(at)) ? null : at;
  };
  const lost = [image.canonicalId, image.supersededBy].some((id) => id !== null && gone.has(id));
  if (!lost) return image;
  const canonicalId = image.canonicalId === null ? null : successor(image.canonicalId);
  const supersededBy = image.supersededBy === null ? null : successor(image.supersededBy);
  const isReopened = canonicalId === null && supersededBy === null && image.retiredAt === null;
  return {
    ...image,
    canonicalId,
    supersededBy,
    version: image.version + 1,
    ...(supersededBy === null && image.supersededBy !== null ? { validTo: null } : {}),
    ...(isReopened ? { needsReplanAt: image.needsReplanAt ?? now } : {}),
  };
}
