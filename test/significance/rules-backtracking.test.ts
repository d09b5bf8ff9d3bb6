import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';

/** As much of a text as the rules read. */
const longest = 4_000;

let worker: Worker | undefined;
afterEach(() => worker?.terminate());

/** Reads the texts elsewhere: a pattern that never ends would keep this thread from noticing its own time-out. */
async function readAll(texts: readonly string[]): Promise<string> {
  const reader = new Worker(new URL('./workers/score-texts.ts', import.meta.url), { workerData: texts });
  worker = reader;
  let last = 'nothing yet';
  return new Promise((resolve, reject) => {
    const hardEnd = setTimeout(() => {
      reject(new Error(`still reading ${JSON.stringify(last.slice(0, 60))}…${JSON.stringify(last.slice(-20))}`));
    }, 25_000);
    reader.on('message', (text: string | null) => {
      if (text !== null) last = text;
      else {
        clearTimeout(hardEnd);
        resolve('read to the end');
      }
    });
    reader.on('error', reject);
  });
}

/** The piece again and again, and an end that fits none of the patterns. */
const filled = (piece: string, end: string) =>
  piece.repeat(Math.ceil(longest / piece.length)).slice(0, longest - end.length) + end;

const separators = [' ', ', ', ': ', ' : ', '  ', ',', ''];

// With two ways to read one space, sixty of these words take longer than the universe has.
test.each('please and also important note ok okay so btw'.split(' '))('"%s" without end is read', async (filler) => {
  const texts = separators.flatMap((gap) => ['x', 'call me back', '!', '?'].map((end) => filled(filler + gap, end)));
  expect(await readAll(texts)).toBe('read to the end');
});

/** What stands in a repetition of one of the patterns, or of those that read words and values. */
const pieces = [
  ...['please and so ', 'always remember ', 'do not ever ', 'asked me, to ', 'keep in ', 'so what '],
  ...['no ', 'not ', 'no known food drug ', 'never been had ', 'not allergic or ', 'no allergies or nor ', 'epilep '],
  ...['suicid', 'haemophilia', 'not on ', 'allergic except ', 'negative for a ', 'no longer ', 'insulin '],
  ...['never delete ', 'delete ', 'without ', 'gluten-', 'chemo', 'my ex-', 'my late ', "anna's older ", "a's ex "],
  ...['f\u00aab', 'a\u337f', '\ufdfa', 'has 1', 'has two aa ', 'in this a ', 'is a aa ', 'speaks a ', 'must always '],
  ...['eat ', 'a', 'A ', 'Anna ', 'a-', 'a-1', '1-', '1.', '1,000', "1'000", '1 1/2 ', '12:', '+1 ', '0', 'v1.', '#1'],
  ...['a.', 'a.b', 'a/', '/a', './', 'a@', '@a', 'https://,', 'www.,', "'", "'s ", "a'", '\n', ' \n', '\r\n', '\n a'],
  ...['- ', '• ', '. ', '.', '? ', '!', ' ', '\t', '\u00a0', '–', '1 – ', '½', '²', 'the ', 'twenty ', 'one and '],
  ...['may ', 'monday ', 'last ', 'a few ', '1 of may ', 'by ', 'will '],
];

test('whatever is repeated, alone or behind the beginning of a sentence', async () => {
  const texts = pieces.flatMap((piece) =>
    ['', 'never delete ', 'note '].map((begin) => begin + filled(piece, '\u0000').slice(begin.length)),
  );
  expect(await readAll(texts)).toBe('read to the end');
});
