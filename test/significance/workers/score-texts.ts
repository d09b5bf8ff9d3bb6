import { parentPort, workerData } from 'node:worker_threads';
import { namedEntities } from '../../../src/significance/rules/named-entities.ts';
import { significanceByRules } from '../../../src/significance/rules/rules-scorer.ts';

/** Tells each text before it reads it, so that a text it never comes back from is known. */
for (const text of workerData as readonly string[]) {
  parentPort?.postMessage(text);
  significanceByRules({ text, mentionedAt: null });
  namedEntities(text);
}
parentPort?.postMessage(null);
