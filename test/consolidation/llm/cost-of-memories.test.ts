import { afterEach, expect, test } from 'vitest';
import { localDay } from '../../../src/models/local-day.ts';
import { costReport, sampleBacklog } from '../../../src/store/cost-report.ts';
import { createDaemonsRig, type DaemonsRig } from '../../support/daemons-rig.ts';
import { createFakeEmbedder } from '../../support/fake-embedder.ts';
import { createLlmEngine } from '../../support/llm-engine.ts';
import { answer } from '../../support/scripted-model/reply.ts';
import { answerHonestly } from '../../support/scripted-model/understand.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

const inAnHour = () => new Date(rig.clock.now().getTime() + 3_600_000);

/** Memories that the report and the forecast reckon by. */
async function counted(): Promise<number[]> {
  const { rows } = await rig.db.query<{ day: string }>('select distinct day::text from engram.model_calls order by 1');
  const days = [localDay(new Date()), ...rows.map(({ day }) => day)].sort();
  const report = await costReport(rig.db, { from: days[0] ?? '', to: days.at(-1) ?? '', by: 'purpose' });
  return [report.reduce((sum, row) => sum + row.memories, 0), (await sampleBacklog(rig.db)).memories];
}

test('a memory is counted once, however often its batch was split on the way', async () => {
  rig = await createDaemonsRig({ engine: { batchMemories: 12, chatModel: 'gpt-5-mini' } });
  await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
  await rig.remember('bank-1', 11);
  rig.model.onChat = (request) =>
    JSON.stringify(request.body).includes('POISON') ? answer(null, { refusal: 'no' }) : answerHonestly(request);
  await rig.work(inAnHour());
  expect(await rig.states()).toMatchObject({ consolidated: 11, pending: 1 });
  expect(await counted()).toEqual([11, 11]);
}, 30_000);

test('a dry run costs, and counts no memory; the run that takes its answers counts them', async () => {
  rig = await createDaemonsRig();
  await rig.remember('bank-1', 6);
  const common = { db: rig.db, baseUrl: rig.model.baseUrl, embedder: createFakeEmbedder(), batchMemories: 3 };
  const { engine, release } = await createLlmEngine(common);
  const { signal } = new AbortController();
  expect(await engine.dryRun('bank-1', { signal })).toMatchObject({ memories: 6, calls: 2 });
  expect(await counted()).toEqual([0, 0]);
  await engine.runSlice({ bankId: 'bank-1', trigger: 'successor', signal });
  expect(rig.model.count.chat).toBe(2);
  expect(await counted()).toEqual([6, 6]);
  await release();
}, 30_000);
