import { afterEach, expect, test } from 'vitest';
import { decisionKey } from '../../../src/consolidation/decision-key.ts';
import { createDaemonsRig, type DaemonsRig } from '../../support/daemons-rig.ts';
import { createFakeEmbedder } from '../../support/fake-embedder.ts';
import { createLlmEngine } from '../../support/llm-engine.ts';
import { createRaceControl } from '../../support/race-control.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

test.each([
  ['the same model', 'model-a', ['model-a']],
  // Applied under the new one's name, `--again` and the history would say what is not so.
  ['another model', 'model-b', ['model-a', 'model-b']],
])(
  'an answer between asking and applying is gone on with by %s, or by none',
  async (_, next, asked) => {
    rig = await createDaemonsRig();
    await rig.remember('bank-1', 3);
    const races = createRaceControl();
    const common = { db: rig.db, baseUrl: rig.model.baseUrl, embedder: createFakeEmbedder(), batchMemories: 3 };
    const stopping = new AbortController();
    races.at('batch:proposed', () => {
      stopping.abort(new Error('stop'));
      stopping.signal.throwIfAborted();
    });
    const one = await createLlmEngine({ ...common, chatModel: 'model-a', racepoints: races });
    await one.engine.runSlice({ bankId: 'bank-1', trigger: 'successor', signal: stopping.signal });
    const two = await createLlmEngine({ ...common, chatModel: next });
    await two.engine.runSlice({ bankId: 'bank-1', trigger: 'successor', signal: new AbortController().signal });
    expect(rig.model.requests.map((request) => request.model)).toEqual(asked);
    const { rows } = await rig.db.query<{ decided_by: string }>('select distinct decided_by from engram.memories');
    expect(rows).toEqual([{ decided_by: decisionKey(two.decider) }]);
    await one.release();
    await two.release();
  },
  30_000,
);
