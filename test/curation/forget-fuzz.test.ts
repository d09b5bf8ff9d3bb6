import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { RefusedError } from '../../src/curation/refusals.ts';
import { createBoss } from '../../src/queue/boss.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { observe } from '../consolidation/decide.ts';
import { somebodyWaitsForALock } from '../consolidation/lock-waits.ts';
import { createWorkbench, memoryAlias, type Workbench } from '../consolidation/workbench.ts';
import { curationOf, placesOf } from './curation-bench.ts';

/** Whatever a decider says, and quotes, of all that it was shown, and whatever is done with that: forget finds it. */

let bench: Workbench;
let curation: Awaited<ReturnType<typeof curationOf>>;
let review: ConsolidationEngine;
let boss: ReturnType<typeof createBoss>;
beforeAll(async () => {
  bench = await createWorkbench({ batchMemories: 3, concurrency: 2 });
  curation = await curationOf(bench);
  review = await bench.engineBeside({ apply: 'review' });
  boss = createBoss({ db: bench.database.db, log: silentLog });
  await boss.start();
});
beforeEach(() => bench.freshBank());
afterAll(async () => {
  await boss.stop();
  await bench.close();
});

const signal = new AbortController().signal;

type Roll = (below: number) => number;

function dice(seed: number): Roll {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const kinds = ['create', 'late', 'reinforce', 'revise', 'supersede', 'conflict', 'fold', 'retire', 'skip'] as const;

/** An op of any kind for each memory; its reason quotes all that was shown. Texts quote only what the op names. */
function anything(batch: Batch, roll: Roll): ProposedOp[] {
  const reason = [...batch.memories, ...batch.observations].map((row) => row.text).join('; ');
  const free = [...batch.observations];
  const take = () => (free.length === 0 ? undefined : free.splice(roll(free.length), 1)[0]);
  return batch.memories.flatMap((memory, index): ProposedOp[] => {
    const { text, mentionedAt: validFrom } = memory;
    const plain = { memories: [memory.alias], reason };
    const create = { op: 'create', as: `n${index + 1}`, text, validFrom, ...plain } as const;
    const target = take();
    const kind = kinds[roll(kinds.length)];
    if (!target || kind === undefined) return [create];
    const both = roll(2) === 0 ? text : `${target.text} and ${text}`;
    switch (kind) {
      case 'create':
        return [create];
      case 'late':
        return [{ ...create, supersededBy: target.alias }];
      case 'reinforce':
        return [{ op: kind, target: target.alias, ...plain }];
      case 'revise':
        return [{ op: kind, target: target.alias, text: both, ...plain }];
      case 'supersede':
      case 'conflict':
        return [{ op: kind, target: target.alias, as: create.as, text: both, validFrom, ...plain }];
      case 'fold': {
        const into = take();
        const fold = { op: kind, target: target.alias, reason };
        if (!into) return [create, { ...fold, into: create.as }];
        return [
          { op: 'reinforce', target: into.alias, ...plain },
          { ...fold, into: into.alias },
        ];
      }
      case 'retire':
        return [
          { op: 'reinforce', target: target.alias, ...plain },
          { op: kind, target: target.alias, reason },
        ];
      case 'skip':
        return [{ op: kind, ...plain }];
      default:
        return kind satisfies never;
    }
  });
}

const words = ['kettle', 'lamp', 'river', 'stone', 'garden', 'violin'];
let made = 0;
/** A number, so that validators that miss one quote it; long, so that it stands nowhere by chance. */
const nextToken = () => String(770_000_001 + 7_919 * ++made);

it.each([11, 22])('nothing is left of what is forgotten (%i)', async (seed) => {
  const roll = dice(seed);
  bench.decider.propose_ = (batch) => anything(batch, roll);
  bench.decider.adjudicate_ = () => (['same', 'different', 'supersedes', 'contradicts'] as const)[roll(4)] ?? 'same';
  const tokens = new Map<string, string[]>();
  const anyMemory = () => [...tokens.keys()][roll(tokens.size)] ?? '';
  const sentence = (token: string) => `${words[roll(6)]} ${words[roll(6)]} ${token}`;
  /** The id of one of the rows, or none. */
  const one = async (sql: string) => {
    const rows = await bench.rows<{ id: string }>(sql, [bench.bankId]);
    return rows[roll(Math.max(rows.length, 1))]?.id;
  };
  /** A person asks for all kinds of things; some are refused. */
  const unlessRefused = async (work: Promise<unknown>) => {
    await work.catch((thrown: unknown) => {
      if (!(thrown instanceof RefusedError)) throw thrown;
    });
  };
  const forgetOne = async () => {
    const id = anyMemory();
    await curation.forget({ bankId: bench.bankId, memoryId: id, signal });
    for (const token of tokens.get(id) ?? []) expect(await placesOf(bench, token), token).toEqual([]);
    tokens.delete(id);
  };
  const deeds: readonly (() => Promise<unknown>)[] = [
    async () => {
      const [id, token] = [anyMemory(), nextToken()];
      await bench.rows('update engram.memories set text = $2 where id = $1', [id, sentence(token)]);
      tokens.get(id)?.push(token);
    },
    () => curation.invalidate({ bankId: bench.bankId, memoryId: anyMemory() }),
    async () => {
      const id = await one("select id from engram.change_sets where bank_id = $1 and status = 'applied'");
      if (id) await unlessRefused(curation.undo({ bankId: bench.bankId, id, signal }));
    },
    async () => {
      const id = await one("select id from engram.change_sets where bank_id = $1 and status = 'proposed'");
      if (id) await unlessRefused(curation.approve({ bankId: bench.bankId, id, signal }));
    },
    async () => {
      const id = await one("select id from engram.change_sets where bank_id = $1 and status = 'proposed'");
      if (id) await unlessRefused(curation.reject({ bankId: bench.bankId, id }));
    },
    () => bench.engine.findContradictions({ bankId: bench.bankId, signal }),
    forgetOne,
  ];
  for (let round = 0; round < 4; round += 1) {
    const fresh = Array.from({ length: 4 }, nextToken);
    const ids = await bench.remember(...fresh.map(sentence));
    for (const [index, id] of ids.entries()) tokens.set(id, fresh.slice(index, index + 1));
    await bench.consolidate(roll(2) === 0 ? { engine: review } : {});
    for (let turn = 0; turn < 2; turn += 1) await deeds[roll(deeds.length)]?.();
  }
  while (tokens.size > 6) await forgetOne();
});

it('what is about to be written about it is waited for, and found', async () => {
  const [secret = ''] = await observe(bench, 'Ana keeps a zanzibar parrot');
  await bench.remember('Ben sings');
  bench.decider.propose_ = (batch) => [
    { op: 'skip', memories: [memoryAlias(batch, 'Ben sings')], reason: 'not a zanzibar parrot' },
  ];
  const applying = bench.races.hold('apply:before-commit');
  const consolidating = bench.consolidate();
  await applying.reached;
  const forgetting = curation.forget({ bankId: bench.bankId, memoryId: secret, signal });
  await somebodyWaitsForALock(bench);
  applying.release();
  await Promise.all([consolidating, forgetting]);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
});

it('the tables of the queue are looked into as well', async () => {
  const [queue] = await bench.rows<{ name: string }>('select name from pgboss.queue order by name limit 1');
  expect(await placesOf(bench, queue?.name ?? 'none')).toContain('queue.name');
});
