import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { MemoryInvalidatedError, pinMemory, unpinMemory } from '../../src/significance/pins.ts';
import { createSignificanceBench, type SignificanceBench } from './significance-bench.ts';

/** What anybody may do to the memories of a bank, by its place among those there are. */
type Step =
  | { readonly do: 'remember'; readonly scores: readonly number[] }
  | { readonly do: 'edit'; readonly nth: number; readonly score: number }
  | { readonly do: 'pin' | 'unpin' | 'invalidate' | 'bring back'; readonly nth: number }
  | { readonly do: 'score' };

const nth = fc.nat({ max: 30 });
// Mostly what is pinned: a bank of plain facts has no history of pins.
const score = fc.constantFrom(3, 3, 3, 3, 2, 0);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('remember' as const),
      scores: fc.array(score, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('pin' as const, 'unpin' as const), nth }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('edit' as const), nth, score }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('invalidate' as const, 'bring back' as const), nth }) },
  { weight: 3, arbitrary: fc.constant({ do: 'score' as const }) },
);
/** What stands in one list is done at once, each by a process of its own. */
const history = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 2, maxLength: 10 });

const pinCap = 3;
let edits = 0;
let bench: SignificanceBench;
beforeAll(async () => {
  bench = await createSignificanceBench({ pinCap });
});
afterAll(() => bench.close());

test('random histories by concurrent workers: over the cap only by manual pins, none of them lost, never the newest evicted', async () => {
  const workers = await Promise.all([bench.beside(), bench.beside(), bench.beside(), bench.beside()]);
  const engines = workers.map((deps) => createSignificanceEngine(deps));

  async function perform(one: Step, worker: number): Promise<void> {
    const [deps, engine] = [workers[worker], engines[worker]];
    if (!deps || !engine) throw new Error(`there is no worker ${worker}`);
    const { bankId } = bench;
    const ids = (await bench.memories()).map(({ id }) => id);
    const memoryId = 'nth' in one ? ids[one.nth % Math.max(1, ids.length)] : undefined;
    switch (one.do) {
      case 'remember':
        await bench.remember(...one.scores.map((value) => `${value}: new`));
        return;
      case 'score':
        await bench.score(engine);
        return;
      default:
        if (memoryId === undefined) return;
    }
    switch (one.do) {
      case 'edit':
        edits += 1;
        await deps.db.query('update engram.memories set text = $2 where id = $1', [
          memoryId,
          `${one.score}: edited ${edits}`,
        ]);
        return;
      case 'invalidate':
        await deps.db.query('update engram.memories set invalidated_at = now() where id = $1', [memoryId]);
        return;
      case 'bring back':
        await deps.db.query('update engram.memories set invalidated_at = null where id = $1', [memoryId]);
        return;
      case 'pin':
        await pinMemory(deps, { bankId, memoryId }).catch((thrown) => {
          if (!(thrown instanceof MemoryInvalidatedError)) throw thrown;
        });
        return;
      case 'unpin':
        await unpinMemory(deps, { bankId, memoryId });
        return;
      default:
        one satisfies never;
    }
  }

  /** The timeline of pins, told again from its beginning. Whoever pins holds the bank, so it has one order. */
  async function replay(): Promise<Set<string>> {
    const manual = new Set<string>();
    let newest: string | undefined;
    for (const { kind, memory, detail } of await bench.events()) {
      switch (kind) {
        case 'memory.pinned':
          newest = memory;
          if (detail.pin === 'manual') manual.add(memory);
          else expect(manual, 'a manual pin was made automatic').not.toContain(memory);
          break;
        case 'memory.unpinned':
          // Taken away by a score only where it was automatic.
          if (detail.pin === 'manual') manual.delete(memory);
          else expect(manual, 'a score took a manual pin away').not.toContain(memory);
          break;
        case 'memory.evicted':
          expect(manual, 'a manual pin was evicted').not.toContain(memory);
          expect(memory, 'the newest pin was evicted').not.toBe(detail.for ?? newest);
          if (detail.for !== undefined) expect(detail.for).toBe(newest);
          break;
        case 'memory.scored':
          break;
        default:
          throw new Error(`an event of kind ${kind}`);
      }
    }
    return manual;
  }

  await fc.assert(
    fc.asyncProperty(history, async (rounds) => {
      await bench.freshBank();
      for (const round of rounds) {
        await Promise.all(round.map((one, worker) => perform(one, worker)));
        // What came back with its manual pin is due for its score, and counts from then on.
        await Promise.all(engines.slice(0, 2).map((engine) => bench.scoreAll(engine)));
        const manual = await bench.pins('manual');
        const autos = await bench.pins('auto');
        expect(autos.length).toBeLessThanOrEqual(Math.max(1, pinCap - manual.length));
        const kept = (await bench.memories()).filter(({ pin }) => pin === 'manual').map(({ id }) => id);
        expect(new Set(kept)).toEqual(await replay());
      }
      // Scored once in each version, by however many.
      const scores = (await bench.events()).filter(({ kind }) => kind === 'memory.scored').length;
      const { rows } = await bench.db.query<{ versions: number }>(
        'select coalesce(sum(version), 0)::int as versions from engram.memories where bank_id = $1',
        [bench.bankId],
      );
      expect(scores).toBeLessThanOrEqual(rows[0]?.versions ?? 0);
    }),
    { numRuns: 25 },
  );
});
