import type { EventKind } from '../store/event-kinds.ts';
import type { TimelineEvent } from './api-types.ts';
import { oneLine } from './table.ts';
import type { Terminal } from './terminal.ts';

const words: Readonly<Record<EventKind, string>> = {
  'bank.created': 'bank made',
  'bank.mission_changed': 'mission changed',
  'bank.deleted': 'bank deleted',
  'memory.added': 'remembered',
  'memory.edited': 'edited',
  'memory.invalidated': 'invalidated',
  'memory.restored': 'believed again',
  'memory.deleted': 'memory deleted',
  'memory.forgotten': 'forgotten',
  'memory.skipped': 'nothing made of it',
  'memory.pending': 'to be decided again',
  'memory.consolidated': 'decided',
  'memory.held': 'held back',
  'memory.requeued': 'to be decided anew',
  'memory.parked': 'parked',
  'memory.unparked': 'retried',
  'memory.scored': 'scored',
  'memory.score_parked': 'score given up',
  'memory.score_unparked': 'score retried',
  'memory.pinned': 'pinned',
  'memory.unpinned': 'unpinned',
  'memory.evicted': 'pin made room',
  'observation.created': 'observed',
  'observation.reinforced': 'heard again',
  'observation.revised': 'said anew',
  'observation.superseded': 'superseded',
  'observation.conflicted': 'contradicted',
  'observation.folded': 'folded',
  'observation.retired': 'retired',
  'observation.undone': 'undone',
  'observation.kept': 'kept after all',
  'observation.erased': 'observation erased',
  'changes.proposed': 'waits for review',
  'changes.approved': 'approved',
  'changes.rejected': 'rejected',
  'changes.conflicted': 'overtaken',
  'changes.undone': 'changes undone',
  'conflict.resolved': 'conflict resolved',
};

const widest = Math.max(...Object.values(words).map((text) => text.length));
const isKnown = (kind: string): kind is EventKind => Object.hasOwn(words, kind);

/** A line: local time, what happened, to what, and its id for `explain`. */
export function eventLine(terminal: Terminal, event: TimelineEvent): string {
  const time = new Date(event.at).toLocaleString('sv-SE');
  const { kind } = event;
  const what = [isKnown(kind) ? words[kind] : kind, ...particulars(event)].join(' ');
  const id = event.observation_id ?? event.memory_id ?? event.change_set_id ?? '';
  const room = terminal.width - time.length - Math.max(widest, what.length) - id.length - 6;
  const text = event.text === null ? '' : oneLine(event.text, Math.max(20, room));
  const rest = [text, id === '' ? '' : terminal.dim(id)].filter((part) => part !== '');
  return [terminal.dim(time), rest.length > 0 ? what.padEnd(widest) : what, ...rest].join('  ');
}

/** What a kind alone does not say. Reasons are left to `explain`. */
function particulars({ kind, detail }: TimelineEvent): string[] {
  if (kind === 'memory.scored' && typeof detail.score === 'number') return [String(detail.score)];
  if (kind === 'memory.pinned' && detail.pin === 'auto') return ['by itself'];
  if (kind.startsWith('changes.') && typeof detail.ops === 'number') return [`(${detail.ops})`];
  return [];
}
