import type { Alias, Batch, BatchMemory, ProposedOp } from '../decider.ts';

/** An observation as the answer has left it so far: shown, or created or revised by an earlier op. */
export interface StandingText {
  readonly text: string;
  readonly validFrom: Date | null;
}

/** An op together with what its aliases stand for at its place in the answer. */
export interface JudgedOp {
  readonly op: ProposedOp;
  readonly memories: ReadonlyMap<Alias, BatchMemory>;
  readonly standing: ReadonlyMap<Alias, StandingText>;
}

/** Says what is wrong with an op, in words that a person reads in `changes show`; null: nothing. */
export type Validator = (judged: JudgedOp) => string | null;

/** The memories that an op cites and that exist. */
export function citedMemories(judged: JudgedOp): BatchMemory[] {
  if (!('memories' in judged.op)) return [];
  return judged.op.memories.flatMap((alias) => judged.memories.get(alias) ?? []);
}

/** The text that an op wants written. */
export function offeredText(op: ProposedOp): string | null {
  return 'text' in op ? op.text : null;
}

/** The text that a revision replaces. */
export function replacedText(judged: JudgedOp): StandingText | null {
  return judged.op.op === 'revise' ? (judged.standing.get(judged.op.target) ?? null) : null;
}

/** Word for word what one of its sources says: nothing can have been lost or invented on the way. */
export function isVerbatim(judged: JudgedOp): boolean {
  const text = offeredText(judged.op);
  return text !== null && citedMemories(judged).some((memory) => memory.text === text);
}

/** When a memory's words were said, which is what "yesterday" in them counts from. */
export function saidAt(memory: BatchMemory): Date | null {
  return memory.mentionedAt ?? memory.occurredStart;
}

/** What an answer starts from. */
export function openingTexts(batch: Batch): Map<Alias, StandingText> {
  return new Map(
    batch.observations.map((observation) => [
      observation.alias,
      { text: observation.text, validFrom: observation.validFrom },
    ]),
  );
}
