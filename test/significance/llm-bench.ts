import { afterAll, beforeEach } from 'vitest';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { createSignificanceBench, type SignificanceBench } from './significance-bench.ts';

/**
 * A bench and a scripted model for the tests of a file: each of them finds an empty bank, a model that does as by default,
 * and no call, spent budget or open breaker of the one before.
 */
export async function createLlmBench(): Promise<{ bench: SignificanceBench; model: ScriptedModel }> {
  const [bench, model] = await Promise.all([createSignificanceBench(), createScriptedModel()]);
  beforeEach(async () => {
    model.reset();
    await bench.freshBank();
    await bench.db.query(
      'truncate engram.model_breakers, engram.budget_ledger, engram.model_calls, engram.model_answers',
    );
  });
  afterAll(async () => {
    await bench.close();
    await model.close();
  });
  return { bench, model };
}
