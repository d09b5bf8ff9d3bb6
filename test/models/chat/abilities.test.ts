import fc from 'fast-check';
import { APIError } from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Abilities, afterRefusal, initialAbilities } from '../../../src/models/chat/abilities.ts';
import { readModelAbilities, saveModelAbilities } from '../../../src/store/model-abilities.ts';
import { answer, apiError, type Reply, type ScriptedRequest, status } from '../../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { context, createChatBench, pairRequest, readVerdict } from './chat-bench.ts';

let database: TestDatabase;
let scripted: ScriptedModel;
beforeAll(async () => {
  [database, scripted] = await Promise.all([createTestDatabase(), createScriptedModel()]);
});
beforeEach(() => database.db.query('delete from engram.model_abilities'));
afterEach(() => scripted.reset());
afterAll(async () => {
  await scripted.close();
  await database.drop();
});

const kept = () => readModelAbilities(database.db, scripted.baseUrl, 'scripted');
const good = answer({ verdict: 'same', reason: 'equal' });

/** A new chat model, as in a new process. */
function ask(text = 'tea'): Promise<string> {
  const { chat } = createChatBench(database, scripted);
  return chat.ask(pairRequest(text), readVerdict, context());
}

/** What was sent, as abilities: null for a request that none describe. */
function sent({ body }: ScriptedRequest): Abilities {
  const format = body.response_format as { type?: Abilities['format'] } | undefined;
  return {
    format: format?.type ?? 'text',
    limit: 'max_tokens' in body ? 'max_tokens' : 'max_completion_tokens',
    temperature: 'temperature' in body,
  };
}

const best: Abilities = { format: 'json_schema', limit: 'max_tokens', temperature: true };

const reasoning = ({ body }: ScriptedRequest): Reply => {
  if ('max_tokens' in body) {
    return apiError(400, {
      message:
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      type: 'invalid_request_error',
      param: 'max_tokens',
      code: 'unsupported_parameter',
    });
  }
  if ('temperature' in body) {
    return apiError(400, {
      message:
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
      param: 'temperature',
      code: 'unsupported_value',
    });
  }
  return good;
};

const refusing =
  (formats: readonly string[], refusal: Reply) =>
  ({ body }: ScriptedRequest): Reply =>
    formats.includes((body.response_format as { type?: string } | undefined)?.type ?? '') ? refusal : good;

describe('a server that understands less', () => {
  it.each([
    [
      'OpenAI’s words',
      apiError(400, {
        message: "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
      }),
    ],
    [
      'DeepSeek’s words',
      apiError(400, { message: 'This response_format type is unavailable now', type: 'invalid_request_error' }),
    ],
    ['a field', apiError(400, { message: 'no', param: 'response_format.json_schema' })],
    [
      'pydantic',
      status(422, {
        body: {
          detail: [
            {
              type: 'extra_forbidden',
              loc: ['body', 'response_format', 'json_schema'],
              msg: 'Extra inputs are not permitted',
              input: { model: 'scripted', temperature: 0 },
            },
          ],
        },
      }),
    ],
    ['a grammar that fails', status(500, { body: { error: { message: 'failed to parse grammar', code: 500 } } })],
  ])('gets the schema in words: %s', async (_name, refusal) => {
    scripted.onChat = refusing(['json_schema'], refusal);
    expect(await ask()).toBe('same');
    expect(scripted.requests.map(sent)).toEqual([best, { ...best, format: 'json_object' }]);
    const [system, user] = (scripted.requests[1]?.body.messages ?? []) as { content: string }[];
    expect(system?.content).toMatch(/^Judge the pair\.\n\n.*JSON schema:\n\{"type":"object"/s);
    expect(user?.content).toBe(pairRequest().messages[1]?.content);
    expect(await kept()).toEqual({ ...best, format: 'json_object' });
  });

  it('gets plain text where it knows no format at all', async () => {
    scripted.onChat = refusing(
      ['json_schema', 'json_object'],
      apiError(400, { message: "'response_format' is not permitted" }),
    );
    expect(await ask()).toBe('same');
    expect(scripted.requests.map((request) => sent(request).format)).toEqual(['json_schema', 'json_object', 'text']);
    expect(scripted.requests[2]?.body).not.toHaveProperty('response_format');
  });

  it('is a reasoning model: another name for the limit, no temperature', async () => {
    scripted.onChat = reasoning;
    expect(await ask()).toBe('same');
    expect(scripted.requests.map(sent)).toEqual([
      best,
      { ...best, limit: 'max_completion_tokens' },
      { format: 'json_schema', limit: 'max_completion_tokens', temperature: false },
    ]);
    expect(scripted.requests[2]?.body.max_completion_tokens).toBe(100);
  });

  it('is one run for the gate, whatever is refused meanwhile', async () => {
    scripted.onChat = reasoning;
    const { chat, gate } = createChatBench(database, scripted);
    await chat.ask(pairRequest(), readVerdict, context());
    expect(gate.runs).toHaveLength(1);
    expect(gate.runs[0]?.facts.promptBytes).toBeGreaterThanOrEqual(
      Math.max(...scripted.requests.map(({ bytes }) => bytes)),
    );
  });

  it('is known to the next request and the next process', async () => {
    scripted.onChat = reasoning;
    const { chat } = createChatBench(database, scripted);
    await chat.ask(pairRequest('one'), readVerdict, context());
    expect(scripted.requests).toHaveLength(3);
    await chat.ask(pairRequest('two'), readVerdict, context());
    await ask('three');
    expect(scripted.requests).toHaveLength(5);
  });

  it('is known to requests that were waiting for their turn', async () => {
    scripted.onChat = reasoning;
    const { chat, gate } = createChatBench(database, scripted);
    const { run } = gate;
    const first = Promise.withResolvers<void>();
    // One at a time, as behind a gate with one place.
    let turn: Promise<unknown> = first.promise;
    gate.run = (facts, perform, signal) => {
      const mine = turn.then(() => run(facts, perform, signal));
      turn = mine.then(async (value) => value);
      return mine;
    };
    const asked = ['one', 'two', 'three'].map((text) => chat.ask(pairRequest(text), readVerdict, context()));
    first.resolve();
    await Promise.all(asked);
    expect(scripted.requests).toHaveLength(5);
  });

  it('is asked anew after a month', async () => {
    scripted.onChat = reasoning;
    await ask('one');
    await database.db.query(`update engram.model_abilities set updated_at = now() - interval '31 days'`);
    await ask('two');
    expect(scripted.requests).toHaveLength(6);
  });
});

describe('what is no refusal of an ability', () => {
  it('is not taken for one: each part is given up once, then it is a mistake in the configuration', async () => {
    scripted.onChat = ({ body }) =>
      apiError(400, {
        message: 'unsupported',
        code: 'unsupported_parameter',
        param: 'max_tokens' in body ? 'max_tokens' : 'max_completion_tokens',
      });
    await expect(ask()).rejects.toMatchObject({ errorClass: 'configuration' });
    expect(scripted.requests).toHaveLength(2);

    scripted.reset();
    scripted.onChat = () => apiError(400, { message: 'bad response_format', param: 'response_format' });
    await expect(ask()).rejects.toMatchObject({ errorClass: 'configuration' });
    expect(scripted.requests).toHaveLength(3);
    expect(await kept()).toBeUndefined();
  });

  it('never goes on for ever: four requests more at most, whatever is refused', () => {
    const refusal = fc.record({
      param: fc.constantFrom(
        'response_format',
        'max_tokens',
        'max_completion_tokens',
        'temperature',
        'model',
        'seed',
        null,
      ),
      code: fc.constantFrom('unsupported_parameter', 'unsupported_value', null),
      message: fc.constantFrom('not supported', 'too large', "'temperature'", 'use max_tokens instead', ''),
    });
    fc.assert(
      fc.property(fc.array(refusal, { maxLength: 20 }), (refusals) => {
        let used: Abilities | null = best;
        let repeats = 0;
        for (const error of refusals) {
          used = afterRefusal(APIError.generate(400, { error }, undefined, new Headers()), used, best);
          if (!used) break;
          repeats += 1;
        }
        expect(repeats).toBeLessThanOrEqual(4);
      }),
    );
  });

  it('a limit that is too high stays under its name', async () => {
    scripted.onChat = () => apiError(400, { message: 'max_tokens is too large: 100', param: 'max_tokens' });
    await expect(ask()).rejects.toMatchObject({
      errorClass: 'configuration',
      message: expect.stringContaining('ENGRAMD_LLM_CONTEXT_TOKENS'),
    });
    expect(scripted.requests).toHaveLength(1);
  });

  it('a prompt that the server repeats is not read as its reason', async () => {
    const memory = 'The oven has a temperature of 0, which is unsupported.';
    scripted.onChat = () => apiError(400, { message: `cannot process: ${memory}` });
    await expect(ask(memory)).rejects.toMatchObject({ errorClass: 'configuration' });
    expect(scripted.requests).toHaveLength(1);
  });

  it('an outage is none', async () => {
    scripted.onChat = () => status(503, { body: { error: { message: 'temperature too high in the data centre' } } });
    await expect(ask()).rejects.toMatchObject({ errorClass: 'transient' });
    expect(scripted.requests).toHaveLength(1);
  });
});

describe('what is kept', () => {
  it('is kept when the best is understood, too: then the bytes of a request are certain', async () => {
    await ask();
    expect(await kept()).toEqual(best);
  });

  it('is kept for an endpoint and model, the later finding above the earlier', async () => {
    const { db } = database;
    await saveModelAbilities(db, 'http://a/v1', 'm', { a: 1 });
    await saveModelAbilities(db, 'http://a/v1', 'm', { a: 2 });
    expect(await readModelAbilities(db, 'http://a/v1', 'm')).toEqual({ a: 2 });
    expect(await readModelAbilities(db, 'http://a/v1', 'n')).toBeUndefined();
    expect(await readModelAbilities(db, 'http://b/v1', 'm')).toBeUndefined();
  });

  it('is not believed when it is of another version', async () => {
    await saveModelAbilities(database.db, scripted.baseUrl, 'scripted', { format: 'xml' });
    expect(await ask()).toBe('same');
    expect(scripted.requests.map(sent)).toEqual([best]);
  });

  it('does not cost the answer when it cannot be kept', async () => {
    const { chat } = createChatBench(database, scripted, {
      db: {
        query: (text, values) =>
          text.startsWith('insert') ? Promise.reject(new Error('disk full')) : database.db.query(text, values),
      },
    });
    expect(await chat.ask(pairRequest(), readVerdict, context())).toBe('same');
  });
});

it('begins with the name of the limit that the server is known to mind', () => {
  expect(initialAbilities('https://api.openai.com/v1').limit).toBe('max_completion_tokens');
  expect(initialAbilities('https://mine.openai.azure.com/openai/v1').limit).toBe('max_completion_tokens');
  expect(initialAbilities('http://127.0.0.1:11434/v1').limit).toBe('max_tokens');
  expect(initialAbilities('https://openai.com.evil.example/v1').limit).toBe('max_tokens');
});
