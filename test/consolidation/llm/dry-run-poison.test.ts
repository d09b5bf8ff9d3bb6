import { afterEach, expect, test } from 'vitest';
import { createDaemonsRig, type DaemonsRig } from '../../support/daemons-rig.ts';
import { createFakeEmbedder } from '../../support/fake-embedder.ts';
import { createLlmEngine } from '../../support/llm-engine.ts';
import { answer, hang, type Reply, type ScriptedRequest, status } from '../../support/scripted-model/reply.ts';
import { answerHonestly } from '../../support/scripted-model/understand.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

const isPoisoned = (request: ScriptedRequest) => JSON.stringify(request.body).includes('POISON');

async function dryRun(onChat: (request: ScriptedRequest) => Reply | Promise<Reply>) {
  rig = await createDaemonsRig();
  await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
  await rig.remember('bank-1', 8);
  rig.model.onChat = onChat;
  const { engine, requestsUnderWay, release } = await createLlmEngine({
    db: rig.db,
    baseUrl: rig.model.baseUrl,
    embedder: createFakeEmbedder(),
    batchMemories: 3,
  });
  const { signal } = new AbortController();
  const outcome = await engine.dryRun('bank-1', { signal }).catch((thrown: unknown) => thrown);
  const afterwards = requestsUnderWay();
  await release();
  return { outcome, afterwards };
}

test('a batch that the model refuses is told of, beside what the others would do', async () => {
  const { outcome, afterwards } = await dryRun((request) =>
    isPoisoned(request) ? answer(null, { refusal: 'no' }) : answerHonestly(request),
  );
  expect(outcome).toMatchObject({
    memories: 9,
    undecided: [
      {
        memories: expect.arrayContaining(['The POISON word stands here.']),
        reason: expect.stringContaining('refused to answer'),
      },
    ],
  });
  expect((outcome as { ops: unknown[] }).ops.length).toBeGreaterThanOrEqual(6);
  expect(afterwards).toBe(0);
}, 30_000);

test('a wrong key ends all of it, and nothing runs on behind the error', async () => {
  let others = 0;
  const second = Promise.withResolvers<void>();
  const { outcome, afterwards } = await dryRun(async (request) => {
    if (isPoisoned(request)) {
      await second.promise;
      return status(401);
    }
    others += 1;
    second.resolve();
    return hang();
  });
  expect(others).toBeGreaterThan(0);
  expect(outcome).toMatchObject({ code: 'MODEL_UNAVAILABLE', errorClass: 'auth' });
  expect(afterwards).toBe(0);
}, 30_000);
