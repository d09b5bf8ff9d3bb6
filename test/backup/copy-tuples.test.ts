import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BackupDamagedError } from '../../src/backup/backup-errors.ts';
import { createCopyTuples } from '../../src/backup/copy-tuples.ts';

type Row = readonly (Uint8Array | null)[];

const header = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex');
const trailer = Buffer.from('ffff', 'hex');

function encode(row: Row): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(row.length);
  const fields = row.map((field) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(field === null ? -1 : field.length);
    return Buffer.concat([length, field ?? Buffer.alloc(0)]);
  });
  return Buffer.concat([count, ...fields]);
}

/** Cut where the numbers say, round and round. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function parse(chunks: readonly Buffer[]): string[] {
  const tuples: string[] = [];
  const parser = createCopyTuples((tuple) => tuples.push(Buffer.from(tuple).toString('hex')));
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return tuples;
}

const rows = fc.array(fc.array(fc.option(fc.uint8Array({ maxLength: 40 })), { maxLength: 6 }), { maxLength: 8 });
const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });

test('the same rows come out of a binary COPY however it is cut', () => {
  fc.assert(
    fc.property(rows, sizes, (given, pieces) => {
      const encoded = given.map(encode);
      const bytes = Buffer.concat([header, ...encoded, trailer]);
      expect(parse(cut(bytes, pieces))).toEqual(encoded.map((tuple) => tuple.toString('hex')));
    }),
    { numRuns: 300 },
  );
});

test('a COPY that ends anywhere before its end is damaged', () => {
  const bytes = Buffer.concat([header, encode([Buffer.from('abc'), null]), encode([new Uint8Array(0)]), trailer]);
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => parse([bytes.subarray(0, length)]), `${length} bytes`).toThrow(BackupDamagedError);
  }
  expect(parse([bytes])).toHaveLength(2);
});

test.for([
  ['another signature', Buffer.from('not a COPY at all, but long enough')],
  ['an extension that nobody knows', Buffer.concat([header.subarray(0, -1), Buffer.from([1]), trailer])],
  ['fewer fields than none', Buffer.concat([header, Buffer.from('fffe', 'hex')])],
  ['a field shorter than null', Buffer.concat([header, Buffer.from('0001fffffffe', 'hex')])],
  ['bytes after the end', Buffer.concat([header, trailer, Buffer.from([0])])],
] as const)('%s is damage', ([, bytes]) => {
  expect(() => parse([bytes])).toThrow(BackupDamagedError);
});
