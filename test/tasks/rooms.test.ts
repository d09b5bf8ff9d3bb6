import { describe, expect, it } from 'vitest';
import { roomViolations } from './rooms.ts';

const check = (...files: [path: string, text: string][]) =>
  roomViolations(files.map(([path, text]) => ({ path, text })));

describe('imports point one way', () => {
  it.each([
    ['down', 'api/app.ts', "import { recall } from '../recall/recall.ts';"],
    ['within a room', 'store/a.ts', "import type { B } from './b.ts';"],
    ['to the room that owns the package', 'db/database.ts', "import pg from 'pg';"],
    ['in a comment', 'db/a.ts', "/** import { x } from '../store/x.ts' */\n// import y from '../store/y.ts';"],
  ])('allows %s', (_, path, text) => {
    expect(check([path, text])).toEqual([]);
  });

  it.each([
    ['up', 'db/a.ts', "import { x } from '../store/x.ts';", 'store stands above db'],
    ['up, for a type', 'db/a.ts', "import type { X } from '../store/x.ts';", 'store stands above db'],
    ['up, re-exported', 'db/a.ts', "export { x } from '../store/x.ts';", 'store stands above db'],
    ['up, over several lines', 'db/a.ts', "import {\n  x,\n  y,\n} from '../store/x.ts';", 'store stands above db'],
    ['up, at run time', 'db/a.ts', "const x = await import('../store/x.ts');", 'store stands above db'],
    ['up, as a worker', 'db/a.ts', "new Worker(workerUrl(import.meta.url, '../store/x'));", 'store stands above db'],
    ['sideways', 'recall/a.ts', "import { x } from '../ingest/x.ts';", 'recall and ingest are neighbours'],
    ['to a room nobody named', 'api/a.ts', "import { x } from '../utils/x.ts';", 'utils is no room'],
    ['of the pool', 'store/a.ts', "import pg from 'pg';", 'only db does'],
    ['of a part of a package', 'api/a.ts', "import { x } from 'pg-boss/plans';", 'only queue does'],
  ])('refuses an import %s', (_, path, text, reason) => {
    expect(check([path, text])).toEqual([expect.stringContaining(reason)]);
  });

  it('finds a circle, but not one of types', () => {
    const a: [string, string] = ['db/a.ts', "import { b } from './b.ts';"];
    expect(check(a, ['db/b.ts', "import { a } from './a.ts';"])).toEqual(['circle: db/a.ts → db/b.ts → db/a.ts']);
    expect(check(a, ['db/b.ts', "import type { A } from './a.ts';"])).toEqual([]);
  });
});
