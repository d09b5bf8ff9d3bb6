import type { ChangeOp } from './api-types.ts';
import type { Terminal } from './terminal.ts';
import { diffWords } from './word-diff.ts';

/** The kind of an operation, in its colour. */
export function opLabel(terminal: Terminal, op: ChangeOp['op']): string {
  switch (op) {
    case 'create':
      return terminal.green('create');
    case 'reinforce':
    case 'fold':
      return terminal.cyan(op);
    case 'revise':
    case 'supersede':
      return terminal.yellow(op);
    case 'conflict':
    case 'retire':
      return terminal.red(op);
    case 'skip':
      return terminal.dim('skip');
    default:
      return op satisfies never;
  }
}

/** Old and new text in one: what went as `[-…-]`, what came as `{+…+}`; red and green where there are colours. */
export function markDiff(terminal: Terminal, before: string | null, after: string | null): string {
  if (before === null) return after ?? '';
  if (after === null || before === after) return before;
  return diffWords(before, after)
    .map(({ kind, text }) => {
      switch (kind) {
        case 'kept':
          return text;
        case 'removed':
          return terminal.red(`[-${text}-]`);
        case 'added':
          return terminal.green(`{+${text}+}`);
        default:
          return kind satisfies never;
      }
    })
    .join('');
}

/** `3 create, 1 reinforce`; `nothing` for none. */
export function showCounts(counts: Readonly<Partial<Record<string, number>>>): string {
  const parts = Object.entries(counts).filter(([, count]) => (count ?? 0) > 0);
  return parts.length === 0 ? 'nothing' : parts.map(([name, count]) => `${count} ${name}`).join(', ');
}

/** What an operation did to a text, on one line. Both sides of a conflict stand. */
export function opText(terminal: Terminal, op: ChangeOp['op'], before: string | null, after: string | null): string {
  if (op === 'conflict' && before !== null && after !== null) return `${before} ${terminal.red('≠')} ${after}`;
  return markDiff(terminal, before, after);
}

/** An operation with what stood before and after, its sources and why. */
export function printOp(terminal: Terminal, op: ChangeOp): void {
  const status = op.status === 'applied' ? '' : ` ${terminal.yellow(op.status)}`;
  terminal.out(`${opLabel(terminal, op.op)}${status}`);
  const isKept = op.before_text === op.after_text;
  // Of an undo: what an op had made goes out of use, and what it had retired comes back.
  const [was, is] = [op.before?.retired_at ?? null, op.after?.retired_at ?? null];
  const kept = op.before === null || (was === null) === (is === null) ? 'kept  ' : is === null ? 'back  ' : 'gone  ';
  const [held, offered] = op.op === 'conflict' ? ['held  ', 'beside'] : ['before', 'after '];
  if (op.before_text !== null && !isKept) terminal.out(`  ${held}  ${op.before_text}`);
  if (op.after_text !== null) terminal.out(`  ${isKept ? kept : offered}  ${op.after_text}`);
  printGrounds(terminal, op);
}

export function printGrounds(terminal: Terminal, op: ChangeOp): void {
  for (const source of op.sources) {
    const date = source.mentioned_at === null ? '' : ` (${source.mentioned_at.slice(0, 10)})`;
    terminal.out(terminal.dim(`    ← ${source.text ?? 'a memory that is gone'}${date}`));
  }
  if (op.reason !== '') terminal.out(terminal.dim(`    why: ${op.reason}`));
  for (const { validator, reason } of op.verdicts) terminal.out(terminal.dim(`    ${validator}: ${reason}`));
}
