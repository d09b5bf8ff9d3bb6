import { parentPort } from 'node:worker_threads';
import type { EmbedAnswer, EmbedRequest } from '../../../src/models/local/embed-worker.ts';

/**
 * Speaks the embedder's protocol without a model. A vector says where its text stood: [batch, position in it, length
 * of the batch]. Some texts are orders.
 */
const port = parentPort;
if (!port) throw new Error('not a worker thread');

port.on('message', ({ id, inputs }: EmbedRequest) => {
  if (inputs.includes('exit')) process.exit(7);
  if (inputs.includes('throw')) throw new Error('out of order');
  if (inputs.includes('stay silent')) return;
  const vectors = new Float32Array(inputs.length * 512);
  for (const position of inputs.keys()) vectors.set([id, position, inputs.length], position * 512);
  const answer: EmbedAnswer = { id, vectors };
  port.postMessage(answer, [vectors.buffer]);
});
