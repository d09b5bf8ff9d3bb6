import type { Alias, Batch, BatchMemory, Proposal, ProposedOp } from '../decider.ts';
import { contentWords, sharedWords } from '../values/content-words.ts';
import { firstHeld, groundedDate, heldAt } from './grounded-date.ts';
import type { MalformedOp, ReadOperations, WrittenOp } from './read-operations.ts';
import { sameWords } from './same-words.ts';

/**
 * Turns what a model wrote into what it may mean, before the judges see it: own aliases for what it makes, dates that a
 * source gives, the order of time worked out from dates and not believed, and no second text where the first says it. Pure.
 *
 * @param cut observations of which the model saw no more than the beginning: nothing is written over them
 */
export function normaliseOperations(batch: Batch, cut: ReadonlySet<Alias>, read: ReadOperations): Proposal {
  const answer = new Answer(batch, cut, read.ops);
  for (const op of read.ops) answer.take(op);
  return { ops: answer.ops, malformed: [...read.malformed, ...answer.malformed] };
}

interface Standing {
  readonly text: string;
  readonly validFrom: Date | null;
}

/** How many of the words of a first revision a second one of the same target has to keep. */
const keptByLaterRevision = 0.9;

class Answer {
  readonly ops: ProposedOp[] = [];
  readonly malformed: MalformedOp[] = [];
  readonly #memories: ReadonlyMap<Alias, BatchMemory>;
  readonly #observations: ReadonlyMap<Alias, Standing>;
  readonly #cut: ReadonlySet<Alias>;
  /** What the answer changes or ends: an equal text is not evidence for it but comes after it. */
  readonly #changed: ReadonlySet<Alias>;
  /** Memories of which the answer keeps something: not skipped as well. */
  readonly #kept: ReadonlySet<Alias>;
  readonly #standing: Map<Alias, Standing>;
  /** The model's name of something it made, and ours. */
  readonly #named = new Map<Alias, Alias>();
  readonly #successors = new Map<Alias, Alias>();
  readonly #revised = new Set<Alias>();
  readonly #reinforced = new Map<Alias, number>();
  #made = 0;

  constructor(batch: Batch, cut: ReadonlySet<Alias>, written: readonly WrittenOp[]) {
    this.#memories = new Map(batch.memories.map((memory) => [memory.alias, memory]));
    this.#observations = new Map(batch.observations.map(({ alias, text, validFrom }) => [alias, { text, validFrom }]));
    this.#standing = new Map(this.#observations);
    this.#cut = cut;
    this.#changed = new Set(
      written.flatMap((op) => (op.target !== null && op.op !== 'reinforce' && op.op !== 'conflict' ? [op.target] : [])),
    );
    this.#kept = new Set(
      written.flatMap((op) => (op.op === 'skip' || op.op === 'fold' || op.op === 'retire' ? [] : op.memories)),
    );
  }

  take(written: WrittenOp): void {
    const outcome = this.#meant(written);
    if (outcome === null) return;
    if ('op' in outcome) this.ops.push(outcome);
    else this.malformed.push(outcome);
  }

  /** Null: an earlier operation says it now. */
  #meant(written: WrittenOp): ProposedOp | MalformedOp | null {
    const { reason } = written;
    // An observation named among the memories is what the text is about, not who says so.
    const memories = written.memories.filter((alias) => !this.#observations.has(alias));
    const target = this.#resolve(written.target ?? '');
    const text = this.#inTheirWords(written);
    switch (written.op) {
      case 'reinforce':
        return memories.length === 0
          ? { memories, reason: 'reinforce without a memory' }
          : this.#reinforce(target, memories, reason);
      case 'create': {
        const held = this.#heldInTheseWords(text);
        if (held !== undefined) return this.#reinforce(held, memories, reason);
        const validFrom = this.#from(written);
        return { op: 'create', as: this.#make(written, text, validFrom), text, memories, validFrom, reason };
      }
      case 'revise':
        return this.#revise(target, text, memories, reason);
      case 'supersede':
      case 'conflict':
        return this.#replace(written, target, text, memories);
      case 'fold':
        return { op: 'fold', target, into: this.#resolve(written.into ?? ''), reason };
      case 'retire':
        return { op: 'retire', target, reason };
      case 'skip': {
        const skipped = memories.filter((alias) => !this.#kept.has(alias));
        return skipped.length === 0 ? null : { op: 'skip', memories: skipped, reason };
      }
      default:
        return written.op satisfies never;
    }
  }

  /** What was superseded by this answer is spoken of by what took its place: tea, then coffee, then tea again are three. */
  #latest(alias: Alias): Alias {
    let latest = alias;
    for (let next = this.#successors.get(latest); next !== undefined; next = this.#successors.get(latest))
      latest = next;
    return latest;
  }

  #resolve(written: Alias): Alias {
    return this.#observations.has(written) ? written : (this.#named.get(written) ?? written);
  }

  /** An alias of our own: a model may leave it out, use it twice or take one that was shown. */
  #make(written: WrittenOp, text: string, validFrom: Date | null): Alias {
    this.#made += 1;
    const made = `n${this.#made}`;
    if (written.as !== null && !this.#observations.has(written.as)) this.#named.set(written.as, made);
    this.#standing.set(made, { text, validFrom });
    return made;
  }

  /** A memory's own text, to the byte, where the model copied it but for spaces: its vector is there already. */
  #inTheirWords(written: WrittenOp): string {
    const text = written.text ?? '';
    return this.#cited(written).find((memory) => sameWords(memory.text, text))?.text ?? text;
  }

  #cited(written: WrittenOp): BatchMemory[] {
    return written.memories.flatMap((alias) => this.#memories.get(alias) ?? []);
  }

  /** Since when the text holds: the day that the model names, if a memory gives it, else what the memories' times give. */
  #from(written: WrittenOp): Date | null {
    const cited = this.#cited(written);
    return groundedDate(written.validFrom, cited) ?? firstHeld(cited);
  }

  #heldInTheseWords(text: string): Alias | undefined {
    for (const [alias, held] of this.#observations) {
      if (!this.#changed.has(alias) && sameWords(held.text, text)) return alias;
    }
    return undefined;
  }

  #reinforce(target: Alias, memories: readonly Alias[], reason: string): ProposedOp | null {
    const at = this.#reinforced.get(target);
    const earlier = at === undefined ? undefined : this.ops[at];
    if (at === undefined || earlier?.op !== 'reinforce') {
      this.#reinforced.set(target, this.ops.length);
      return { op: 'reinforce', target, memories, reason };
    }
    this.ops[at] = { ...earlier, memories: [...new Set([...earlier.memories, ...memories])] };
    return null;
  }

  #revise(target: Alias, text: string, memories: readonly Alias[], reason: string): ProposedOp | MalformedOp | null {
    const standing = this.#standing.get(target);
    if (standing && sameWords(standing.text, text)) return this.#reinforce(target, memories, reason);
    if (this.#cut.has(target)) return { memories, reason: `${target} was not shown whole, so it cannot be revised` };
    if (standing && this.#revised.has(target) && !keeps(standing.text, text)) {
      return { memories, reason: `${target} was revised by this answer already, and this text drops what was added` };
    }
    this.#revised.add(target);
    // A later reinforcement is judged beside the new text.
    this.#reinforced.delete(target);
    if (standing) this.#standing.set(target, { ...standing, text });
    return { op: 'revise', target, text, memories, reason };
  }

  /** Which of two values holds now follows from their dates; without an order they stand as a conflict. */
  #replace(written: WrittenOp, named: Alias, text: string, memories: readonly Alias[]): ProposedOp | null {
    const target = this.#latest(named);
    const standing = this.#standing.get(target);
    const { reason } = written;
    if (standing && sameWords(standing.text, text)) return this.#reinforce(target, memories, reason);
    const held = standing?.validFrom ?? null;
    const cited = this.#cited(written);
    // Of several memories the first that speaks of the time after; the others may tell how it was before.
    const after = cited.filter((memory) => held !== null && (heldAt(memory) ?? held) > held);
    const validFrom =
      groundedDate(written.validFrom, cited) ??
      firstHeld(written.op === 'supersede' && after.length > 0 ? after : cited);
    const made = { as: this.#make(written, text, validFrom), text, memories, validFrom, reason };
    // One that shares no word with what it shall end may speak of something else: both stay.
    const isRelated = standing !== undefined && sharedWords(contentWords(standing.text), contentWords(text)) > 0;
    const order = written.op === 'supersede' && isRelated ? orderOf(held, validFrom, cited) : 'none';
    switch (order) {
      case 'later':
        this.#successors.set(target, made.as);
        return { op: 'supersede', target, ...made };
      case 'earlier':
        this.#standing.delete(made.as);
        return { op: 'create', ...made, supersededBy: target };
      case 'none':
        return { op: 'conflict', target, ...made };
      default:
        return order satisfies never;
    }
  }
}

/**
 * Whether what is offered came after or before what is held. Before only if all that its memories know of time says so:
 * a held text may be dated by nothing but when it was said.
 */
function orderOf(held: Date | null, offered: Date | null, cited: readonly BatchMemory[]): 'later' | 'earlier' | 'none' {
  if (held === null || offered === null) return 'none';
  if (offered > held) return 'later';
  const times = cited.flatMap(({ occurredStart, occurredEnd, mentionedAt }) =>
    [occurredStart, occurredEnd, mentionedAt].filter((time) => time !== null),
  );
  return offered < held && times.length > 0 && times.every((time) => time < held) ? 'earlier' : 'none';
}

/** Whether a second revision has what the first one wrote. */
function keeps(first: string, second: string): boolean {
  return sharedWords(contentWords(first), contentWords(second)) >= keptByLaterRevision;
}
