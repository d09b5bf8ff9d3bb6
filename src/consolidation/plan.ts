import type { DueMemory } from '../store/due-memories.ts';
import type { Link } from '../store/observations.ts';
import type { RelatedObservation } from '../store/related-observations.ts';
import type { Alias, ProposedOp } from './decider.ts';

/** An observation that an op acts on, with what the decider knew of it. */
export interface TargetRef {
  readonly id: string;
  /** Null for an observation that the same plan creates. */
  readonly seen: { readonly text: string; readonly version: number } | null;
}

/** A memory that an op names, in the version that was decided on. */
export interface MemoryRef {
  readonly id: string;
  readonly version: number;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  /** When its text held: occurred, else mentioned. */
  readonly heldAt: Date | null;
}

/** A text to be written, with the vector that goes with it (law L6). */
export interface NewText {
  readonly text: string;
  readonly embedding: Float32Array;
}

export type PlannedOp =
  | {
      readonly op: 'create';
      readonly id: string;
      readonly content: NewText;
      readonly memories: readonly MemoryRef[];
      readonly validFrom: Date | null;
      readonly supersededBy: TargetRef | null;
      readonly reason: string;
    }
  | {
      readonly op: 'reinforce';
      readonly target: TargetRef;
      readonly memories: readonly MemoryRef[];
      readonly replan: ReplanLinks | null;
      readonly reason: string;
    }
  | {
      readonly op: 'revise';
      readonly target: TargetRef;
      readonly content: NewText;
      readonly memories: readonly MemoryRef[];
      readonly replan: ReplanLinks | null;
      readonly reason: string;
    }
  | {
      readonly op: 'supersede' | 'conflict';
      readonly target: TargetRef;
      readonly id: string;
      readonly content: NewText;
      readonly memories: readonly MemoryRef[];
      readonly validFrom: Date | null;
      readonly reason: string;
    }
  | { readonly op: 'fold'; readonly target: TargetRef; readonly into: TargetRef; readonly reason: string }
  | {
      readonly op: 'retire';
      readonly target: TargetRef;
      readonly replan: ReplanLinks | null;
      /** Whether it counts against the loss budget: a folded or superseded one does not (law L18). */
      readonly wasLive: boolean;
      readonly reason: string;
    }
  | { readonly op: 'skip'; readonly memories: readonly MemoryRef[]; readonly reason: string };

/**
 * What a replan saw of its target's evidence. A reinforcement between its look and its apply leaves the version alone,
 * so the links themselves are compared: a text is not rewritten, nor its observation retired, over fresh evidence.
 */
export interface ReplanLinks {
  readonly seen: readonly Link[];
  /** Those whose memory is gone, changed or invalidated. */
  readonly dropped: readonly Link[];
}

/** Ops that stand or fall together: joined by a memory, an observation or a text they share (law L2). */
export interface OpGroup {
  readonly ops: readonly PlannedOp[];
  /** Memories that the group moves out of `pending`; what else its ops cite only has to stay as it was seen. */
  readonly memberIds: readonly string[];
}

/** The texts that an op writes. */
export function textOf(op: PlannedOp): NewText | null {
  switch (op.op) {
    case 'create':
    case 'revise':
    case 'supersede':
    case 'conflict':
      return op.content;
    case 'reinforce':
    case 'fold':
    case 'retire':
    case 'skip':
      return null;
    default:
      return op satisfies never;
  }
}

/** The evidence that an op was decided over, where it is a replan. */
export function replanOf(op: PlannedOp): ReplanLinks | null {
  return 'replan' in op ? op.replan : null;
}

/** Every memory that an op names. */
export function memoriesOf(op: PlannedOp): readonly MemoryRef[] {
  return 'memories' in op ? op.memories : [];
}

/** Observations that an op acts on or makes. */
export function observationIdsOf(op: PlannedOp): string[] {
  switch (op.op) {
    case 'create':
      return op.supersededBy === null ? [op.id] : [op.id, op.supersededBy.id];
    case 'supersede':
    case 'conflict':
      return [op.id, op.target.id];
    case 'fold':
      return [op.target.id, op.into.id];
    case 'reinforce':
    case 'revise':
    case 'retire':
      return [op.target.id];
    case 'skip':
      return [];
    default:
      return op satisfies never;
  }
}

/** The observations of the store that an op relies on. */
export function targetsOf(op: PlannedOp): TargetRef[] {
  switch (op.op) {
    case 'create':
      return op.supersededBy === null ? [] : [op.supersededBy];
    case 'fold':
      return [op.target, op.into];
    case 'supersede':
    case 'conflict':
    case 'reinforce':
    case 'revise':
    case 'retire':
      return [op.target];
    case 'skip':
      return [];
    default:
      return op satisfies never;
  }
}

/**
 * What has to hold of a target under its lock (law L3). Ops that change the row compare its version; those that only
 * lean on what it says compare its text, so that sixty-four reinforcements of one observation do not fail each other.
 */
export function guardOf(op: PlannedOp, target: TargetRef): 'version' | 'text' {
  switch (op.op) {
    case 'revise':
    case 'supersede':
    case 'retire':
      return 'version';
    case 'fold':
    case 'create':
    case 'conflict':
      return 'text';
    case 'reinforce':
      return op.replan !== null && target.id === op.target.id ? 'version' : 'text';
    case 'skip':
      throw new Error('a skip has no target');
    default:
      return op satisfies never;
  }
}

/** Of an observation that the decider was not shown. */
export function aliasOf(observation: { readonly id: string }): Alias {
  return `x${observation.id}`;
}

/** Aliases resolved to what they stand for. Throws on one that validation should have refused: that is a bug. */
export class AliasTable {
  readonly #memories: ReadonlyMap<Alias, DueMemory>;
  readonly #observations: Map<Alias, RelatedObservation>;
  readonly #created = new Map<Alias, string>();
  readonly #newId: () => string;

  constructor(
    memories: ReadonlyMap<Alias, DueMemory>,
    observations: ReadonlyMap<Alias, RelatedObservation>,
    newId: () => string,
  ) {
    this.#memories = memories;
    this.#observations = new Map(observations);
    this.#newId = newId;
  }

  memory(alias: Alias): MemoryRef {
    const memory = this.#memories.get(alias);
    if (!memory) throw new Error(`no memory stands behind alias ${alias}`);
    return toMemoryRef(memory);
  }

  target(alias: Alias): TargetRef {
    const observation = this.#observations.get(alias);
    if (observation) return { id: observation.id, seen: { text: observation.text, version: observation.version } };
    const created = this.#created.get(alias);
    if (created === undefined) throw new Error(`no observation stands behind alias ${alias}`);
    return { id: created, seen: null };
  }

  /** An observation found after the decider spoke. */
  add(observation: RelatedObservation): Alias {
    const alias = aliasOf(observation);
    this.#observations.set(alias, observation);
    return alias;
  }

  /** From now on `alias` means what `target` means. */
  bind(alias: Alias, target: Alias): void {
    const observation = this.#observations.get(target);
    if (!observation) throw new Error(`no observation stands behind alias ${target}`);
    this.#observations.set(alias, observation);
  }

  create(alias: Alias): string {
    const id = this.#newId();
    this.#created.set(alias, id);
    return id;
  }
}

export function toMemoryRef(memory: DueMemory): MemoryRef {
  return {
    id: memory.id,
    version: memory.version,
    occurredStart: memory.occurredStart,
    occurredEnd: memory.occurredEnd,
    heldAt: memory.occurredStart ?? memory.mentionedAt,
  };
}

/** Turns judged ops into planned ones. `vectors` holds one for every text that is to be written. */
export function resolveOps(
  ops: readonly ProposedOp[],
  aliases: AliasTable,
  vectors: ReadonlyMap<string, Float32Array>,
): PlannedOp[] {
  const content = (text: string): NewText => {
    const embedding = vectors.get(text);
    if (!embedding) throw new Error('a text reached its plan without a vector');
    return { text, embedding };
  };
  return ops.map((op): PlannedOp => {
    switch (op.op) {
      case 'create':
        return {
          op: 'create',
          id: aliases.create(op.as),
          content: content(op.text),
          memories: op.memories.map((alias) => aliases.memory(alias)),
          validFrom: op.validFrom,
          supersededBy: op.supersededBy === undefined ? null : aliases.target(op.supersededBy),
          reason: op.reason,
        };
      case 'reinforce':
        return {
          op: 'reinforce',
          target: aliases.target(op.target),
          memories: op.memories.map((alias) => aliases.memory(alias)),
          replan: null,
          reason: op.reason,
        };
      case 'revise':
        return {
          op: 'revise',
          target: aliases.target(op.target),
          content: content(op.text),
          memories: op.memories.map((alias) => aliases.memory(alias)),
          replan: null,
          reason: op.reason,
        };
      case 'supersede':
      case 'conflict':
        return {
          op: op.op,
          target: aliases.target(op.target),
          id: aliases.create(op.as),
          content: content(op.text),
          memories: op.memories.map((alias) => aliases.memory(alias)),
          validFrom: op.validFrom,
          reason: op.reason,
        };
      case 'fold':
        return { op: 'fold', target: aliases.target(op.target), into: aliases.target(op.into), reason: op.reason };
      case 'retire':
        return { op: 'retire', target: aliases.target(op.target), replan: null, wasLive: true, reason: op.reason };
      case 'skip':
        return { op: 'skip', memories: op.memories.map((alias) => aliases.memory(alias)), reason: op.reason };
      default:
        return op satisfies never;
    }
  });
}

/**
 * Connected components over shared memories and observations; ops keep their order inside a group. An op that writes the
 * text that another op's target had is joined too: "tea" may be created anew only if what said "tea" really was revised.
 */
export function groupOps(ops: readonly PlannedOp[]): OpGroup[] {
  const parent = ops.map((_, index) => index);
  const rootOf = (index: number): number => {
    let root = index;
    while (parent[root] !== root) root = parent[root] ?? root;
    return root;
  };
  const firstWith = new Map<string, number>();
  ops.forEach((op, index) => {
    const texts = [textOf(op)?.text, ...targetsOf(op).map((target) => target.seen?.text)];
    const keys = [
      ...memoriesOf(op).map((memory) => memory.id),
      ...observationIdsOf(op),
      ...texts.flatMap((text) => (text === undefined ? [] : [`"${text}"`])),
    ];
    for (const key of keys) {
      const other = firstWith.get(key);
      if (other === undefined) firstWith.set(key, index);
      else parent[rootOf(index)] = rootOf(other);
    }
  });
  const groups = Map.groupBy(
    ops.map((op, index) => ({ op, root: rootOf(index) })),
    (entry) => entry.root,
  );
  return [...groups.values()].map((entries) => ({
    ops: entries.map((entry) => entry.op),
    memberIds: [...new Set(entries.flatMap((entry) => memoriesOf(entry.op).map((memory) => memory.id)))],
  }));
}
