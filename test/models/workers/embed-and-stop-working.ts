import { createLocalEmbedder } from '../../../src/models/local/local-embedder.ts';

/** A program of its own: embeds, never releases, and has nothing more to do. */
const embedder = createLocalEmbedder({ workerUrl: new URL('./noisy-worker.ts', import.meta.url) });
const [vector] = await embedder.embed(['Alice prefers tea over coffee.'], { purpose: 'query' });
process.stdout.write(JSON.stringify({ dimensions: vector?.length }));
