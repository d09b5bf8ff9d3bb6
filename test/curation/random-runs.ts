import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { memories } from '../consolidation/store-view.ts';
import type { Workbench } from '../consolidation/workbench.ts';

/** Runs of which nobody knows beforehand what they do, the same for the same seed. */

const words = 'kettle lamp river stone garden violin harbour mitten saddle teapot'.split(' ');
const scopes = [[], ['home'], ['home', 'work']];
export const kinds = ['create', 'reinforce', 'revise', 'supersede', 'conflict', 'fold', 'retire', 'skip'] as const;

/** The same decisions for the same seed and the same order of batches. */
export function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Any op for each memory, over whatever is shown. */
export function anything(batch: Batch, roll: (below: number) => number): ProposedOp[] {
  const free = [...batch.observations];
  const take = () => (free.length === 0 ? undefined : free.splice(roll(free.length), 1)[0]);
  return batch.memories.flatMap((memory, index): ProposedOp[] => {
    const as = `n${index + 1}`;
    const { text, mentionedAt: validFrom } = memory;
    const own = { memories: [memory.alias], reason: 'rolled' };
    const create: ProposedOp = { op: 'create', as, text, validFrom, ...own };
    const kind = kinds[roll(kinds.length)];
    const target = take();
    if (!target || kind === 'create' || kind === undefined) return [create];
    switch (kind) {
      case 'reinforce':
        return [{ op: 'reinforce', target: target.alias, ...own }];
      case 'revise':
        return [{ op: 'revise', target: target.alias, text, ...own }];
      case 'supersede':
      case 'conflict':
        return [{ op: kind, target: target.alias, as, text, validFrom, ...own }];
      case 'fold': {
        const into = take();
        const fold = { op: 'fold' as const, target: target.alias, reason: 'rolled' };
        return into
          ? [
              { op: 'reinforce', target: into.alias, ...own },
              { ...fold, into: into.alias },
            ]
          : [create, { ...fold, into: as }];
      }
      case 'retire':
        return [
          { op: 'reinforce', target: target.alias, ...own },
          { op: 'retire', target: target.alias, reason: 'rolled' },
        ];
      case 'skip':
        return [{ op: 'skip', ...own }];
      default:
        return kind satisfies never;
    }
  });
}

/** Memories of few words in few scopes: they meet often. */
export async function rememberAnything(
  bench: Workbench,
  roll: (below: number) => number,
  count: number,
): Promise<void> {
  await bench.remember(
    ...Array.from({ length: count }, () => ({
      text: Array.from({ length: 3 }, () => words[roll(words.length)]).join(' '),
      tags: scopes[roll(scopes.length)] ?? [],
      mentionedAt: new Date(Date.UTC(2026, roll(6), 1 + roll(28), 0, 0, 0, roll(1000))).toISOString(),
    })),
  );
}

/** Some memories are edited, invalidated or deleted: the next run has observations to write again. */
export async function disturb(bench: Workbench, roll: (below: number) => number): Promise<void> {
  for (const memory of await memories(bench)) {
    const chance = roll(12);
    if (chance === 0) {
      await bench.rows('update engram.memories set text = $2 where id = $1', [memory.id, words[roll(words.length)]]);
    } else if (chance === 1) {
      await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [memory.id]);
    } else if (chance === 2) await bench.rows('delete from engram.memories where id = $1', [memory.id]);
  }
}
