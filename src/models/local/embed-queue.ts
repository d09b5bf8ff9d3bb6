import type { EmbedPurpose } from '../embedder.ts';
import { embeddingInput } from './embedding-input.ts';

/**
 * A batch is what a query may have to wait for, so it is bounded by what it costs, not only by its count: 32 sentences
 * or 4,096 characters are about 0.3 s on one core. More than 32 at once gains nothing (7 to 9 ms a sentence from 8 on).
 */
export const maxBatchTexts = 32;
export const maxBatchCharacters = 4_096;

export interface EmbedCall {
  readonly texts: readonly string[];
  readonly answer: PromiseWithResolvers<Float32Array[]>;
  readonly vectors: Float32Array[];
  /** How many of the texts have been put into a batch. */
  taken: number;
}

export interface BatchItem {
  readonly call: EmbedCall;
  /** Position of the text in its call. */
  readonly position: number;
  readonly input: string;
}

/** Calls that wait for vectors, cut into batches: queries first, then by arrival. One batch at a time is out. */
export class EmbedQueue {
  readonly #queries = new Set<EmbedCall>();
  readonly #others = new Set<EmbedCall>();

  get isEmpty(): boolean {
    return this.#queries.size === 0 && this.#others.size === 0;
  }

  /** @param texts at least one. */
  add(texts: readonly string[], purpose: EmbedPurpose): EmbedCall {
    const call: EmbedCall = { texts, answer: Promise.withResolvers(), vectors: [], taken: 0 };
    (purpose === 'query' ? this.#queries : this.#others).add(call);
    return call;
  }

  /** The next texts to embed, at least one unless the queue is empty. */
  takeBatch(): BatchItem[] {
    const batch: BatchItem[] = [];
    let characters = 0;
    for (const call of this.#inOrder()) {
      for (; call.taken < call.texts.length; call.taken++) {
        const input = embeddingInput(call.texts[call.taken] ?? '');
        characters += input.length;
        if (batch.length === maxBatchTexts || (batch.length > 0 && characters > maxBatchCharacters)) return batch;
        batch.push({ call, position: call.taken, input });
      }
    }
    return batch;
  }

  /** Files the vectors of a batch, in its order, and answers the calls that are complete with them. */
  settleBatch(batch: readonly BatchItem[], vectors: readonly Float32Array[]): void {
    for (const [at, { call, position }] of batch.entries()) {
      const vector = vectors[at];
      if (vector) call.vectors[position] = vector;
      if (position !== call.texts.length - 1) continue;
      this.#remove(call);
      call.answer.resolve(call.vectors);
    }
  }

  reject(call: EmbedCall, reason: unknown): void {
    this.#remove(call);
    call.answer.reject(reason);
  }

  rejectAll(reason: unknown): void {
    for (const call of this.#inOrder()) this.reject(call, reason);
  }

  *#inOrder(): Generator<EmbedCall> {
    yield* this.#queries;
    yield* this.#others;
  }

  #remove(call: EmbedCall): void {
    this.#queries.delete(call);
    this.#others.delete(call);
  }
}
