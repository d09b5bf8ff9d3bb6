import { expect, test } from 'vitest';
import { type JsonLine, readJsonLines } from '../../src/ingest/json-lines.ts';

async function read(input: string | Uint8Array, chunkSize = 7): Promise<JsonLine[]> {
  const bytes = typeof input === 'string' ? Buffer.from(input) : Buffer.from(input);
  async function* chunks() {
    // One buffer for all chunks, as a file stream with a pool would do it.
    const shared = Buffer.alloc(chunkSize);
    for (let at = 0; at < bytes.length; at += chunkSize) {
      const length = bytes.copy(shared, 0, at, at + chunkSize);
      yield shared.subarray(0, length);
    }
  }
  const lines: JsonLine[] = [];
  for await (const line of readJsonLines(chunks())) lines.push(line);
  return lines;
}

test('good lines and bad ones come out with their numbers, in order', async () => {
  const file = [
    '{"text":"one"}',
    '',
    '{"text":"two"',
    'nonsense',
    '   ',
    '{"text":""}',
    '[1]',
    '{"text":"drei","x":1}',
    '{"text":"vier"}',
  ];
  expect(await read(file.join('\n'))).toEqual([
    { line: 1, memory: { text: 'one' } },
    { line: 3, reason: expect.stringMatching(/^not valid JSON: unexpected character/) },
    { line: 4, reason: 'not valid JSON: unexpected character' },
    { line: 6, reason: 'text: must not be blank' },
    { line: 7, reason: 'must be an object' },
    { line: 8, reason: 'x: unknown field' },
    { line: 9, memory: { text: 'vier' } },
  ]);
});

test('what would be lost in storing makes a line bad', async () => {
  expect(await read('{"text":"a","metadata":{"__proto__":{"b":1}}}\n{"text":"a","metadata":{"n":[-1e400]}}')).toEqual([
    { line: 1, reason: 'metadata.__proto__: is no name that a field can have' },
    { line: 2, reason: 'metadata.n[0]: must be a number that a double can hold' },
  ]);
});

test('a byte order mark, CRLF and a last line without an end are all right', async () => {
  expect(await read('\ufeff{"text":"a"}\r\n\r\n{"text":"b"}')).toEqual([
    { line: 1, memory: { text: 'a' } },
    { line: 3, memory: { text: 'b' } },
  ]);
});

test.each([1, 2, 3, 1000])('characters may lie across chunks of %i bytes', async (chunkSize) => {
  expect(await read('{"text":"Ångström 🌍"}\n{"text":"日記"}\n', chunkSize)).toEqual([
    { line: 1, memory: { text: 'Ångström 🌍' } },
    { line: 2, memory: { text: '日記' } },
  ]);
});

test('a line that is not UTF-8 is bad, not mangled', async () => {
  const bytes = Buffer.concat([Buffer.from('{"text":"a'), Buffer.from([0xff]), Buffer.from('"}\n{"text":"b"}\n')]);
  expect(await read(bytes)).toEqual([
    { line: 1, reason: 'not valid UTF-8' },
    { line: 2, memory: { text: 'b' } },
  ]);
});

test('a line without an end in sight is refused without being kept', async () => {
  const piece = Buffer.alloc(64 * 1024, 'x');
  let largest = 0;
  async function* chunks() {
    for (let i = 0; i < 2000; i += 1) {
      if (i % 200 === 0) largest = Math.max(largest, process.memoryUsage().arrayBuffers);
      yield piece;
    }
    yield Buffer.from('\n{"text":"after"}\n');
  }
  const before = process.memoryUsage().arrayBuffers;
  const lines: JsonLine[] = [];
  for await (const line of readJsonLines(chunks())) lines.push(line);
  expect(lines).toEqual([
    { line: 1, reason: 'longer than 524288 bytes' },
    { line: 2, memory: { text: 'after' } },
  ]);
  // 125 MiB went through; kept, they would all be here.
  expect(largest - before).toBeLessThan(32 * 1024 * 1024);
});

test('the report of a broken line quotes nothing of it', async () => {
  const [line] = await read('{"text": "the key is sk-proj-1234567890abcdefghij", oops}');
  expect(JSON.stringify(line)).not.toContain('sk-proj');
});
