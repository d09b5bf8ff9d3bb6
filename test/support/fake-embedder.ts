import type { Embedder, EmbeddingModel, EmbedPurpose } from '../../src/models/embedder.ts';

export interface FakeEmbedCall {
  readonly texts: readonly string[];
  readonly purpose: EmbedPurpose;
  readonly signal: AbortSignal | undefined;
}

/** Runs before a call answers: await in it to hold the call, throw in it to fail the call. */
export type OnEmbed = (call: FakeEmbedCall) => void | Promise<void>;

export interface FakeEmbedder extends Embedder {
  /** Every call since the start, failed ones too, oldest first. */
  readonly calls: readonly FakeEmbedCall[];
  readonly releases: number;
  onEmbed: OnEmbed | undefined;
}

const defaultModel: EmbeddingModel = { id: 'local/fake-512', dimensions: 512, provider: 'local' };

/** Fast and deterministic. Texts are as similar as the words they share: good for tests of what is done with vectors. */
export function createFakeEmbedder(
  options: { model?: EmbeddingModel; onEmbed?: OnEmbed; vectorOf?: (text: string) => Float32Array } = {},
): FakeEmbedder {
  const model = options.model ?? defaultModel;
  const vectorOf = options.vectorOf ?? ((text: string) => wordVector(text, model.dimensions));
  const calls: FakeEmbedCall[] = [];
  let releases = 0;
  return {
    model,
    calls,
    get releases() {
      return releases;
    },
    onEmbed: options.onEmbed,
    async embed(texts, { purpose, signal }) {
      signal?.throwIfAborted();
      const call = { texts: [...texts], purpose, signal };
      calls.push(call);
      if (this.onEmbed) await untilAborted(Promise.resolve(this.onEmbed(call)), signal);
      return call.texts.map(vectorOf);
    },
    async release() {
      releases++;
    },
  };
}

/** A bag of normalised words, with bigrams at a quarter so that word order counts a little; a unit vector. */
export function wordVector(text: string, dimensions = defaultModel.dimensions): Float32Array {
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .match(/[\p{L}\p{N}]+/gu) ?? ['(no words)'];
  const vector = new Float32Array(dimensions);
  const add = (feature: string, weight: number) => {
    const slot = fnv1a(feature) % dimensions;
    vector[slot] = (vector[slot] ?? 0) + weight;
  };
  words.forEach((word, at) => {
    add(word, 1);
    if (at > 0) add(`${words[at - 1]} ${word}`, 0.25);
  });
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function untilAborted(held: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return held;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  return Promise.race([held, aborted.promise]).finally(() => signal.removeEventListener('abort', onAbort));
}
