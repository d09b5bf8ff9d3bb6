import { afterEach, expect, test } from 'vitest';
import { createDaemonsRig, type DaemonsRig } from '../support/daemons-rig.ts';
import { apiError, type ScriptedRequest } from '../support/scripted-model/reply.ts';
import { answerHonestly } from '../support/scripted-model/understand.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

const hours = (count: number) => new Date(rig.clock.now().getTime() + count * 3_600_000);
const isPoisoned = (request: ScriptedRequest) => JSON.stringify(request.body).includes('POISON');
/** As some servers word it when a text breaks their tokenizer: nothing is named, nothing is told. */
const unexplained = apiError(400, {
  message: 'Bad request: could not process message',
  code: null,
  type: 'invalid_request_error',
});

test('a 400 without a reason about one memory has nobody else wait for it', async () => {
  rig = await createDaemonsRig();
  await rig.remember('bank-1', 2);
  await rig.work(hours(1));
  await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
  await rig.remember('bank-1', 30);
  rig.model.onChat = (request) => (isPoisoned(request) ? unexplained : answerHonestly(request));
  await rig.work(hours(1));
  expect(await rig.states()).toMatchObject({ consolidated: 32, pending: 1 });
}, 60_000);

test('the same of embeddings: found by halves, and set apart', async () => {
  rig = await createDaemonsRig({ embeds: 'at the endpoint' });
  await rig.remember('bank-1', 2);
  await rig.work(hours(1));
  await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
  await rig.remember('bank-1', 30);
  const honest = rig.model.onEmbed;
  rig.model.onEmbed = (request) => (isPoisoned(request) ? unexplained : honest(request));
  await rig.work(hours(3));
  expect(await rig.states()).toMatchObject({ consolidated: 32 });
}, 60_000);

test('before the model has answered anything it is the configuration, and nothing is blamed', async () => {
  rig = await createDaemonsRig();
  await rig.remember('bank-1', 12);
  rig.model.onChat = () => unexplained;
  await rig.work(hours(2));
  expect(await rig.states()).toEqual({ pending: 12 });
  const { rows } = await rig.db.query('select error_class from engram.model_breakers');
  expect(rows).toEqual([{ error_class: 'configuration' }]);
  rig.model.onChat = answerHonestly;
  await rig.work(hours(2));
  expect(await rig.states()).toEqual({ consolidated: 12 });
}, 60_000);
