/** All that the timeline tells of. A row of an older or newer version may hold another kind; nobody asks for those. */
export const eventKinds = [
  'bank.created',
  'bank.mission_changed',
  'bank.deleted',
  'memory.added',
  'memory.edited',
  'memory.invalidated',
  'memory.restored',
  'memory.deleted',
  'memory.forgotten',
  'memory.skipped',
  'memory.pending',
  'memory.consolidated',
  'memory.held',
  'memory.requeued',
  'memory.parked',
  'memory.unparked',
  'memory.scored',
  'memory.score_parked',
  'memory.score_unparked',
  'memory.pinned',
  'memory.unpinned',
  'memory.evicted',
  'observation.created',
  'observation.reinforced',
  'observation.revised',
  'observation.superseded',
  'observation.conflicted',
  'observation.folded',
  'observation.retired',
  'observation.undone',
  'observation.kept',
  'observation.erased',
  'changes.proposed',
  'changes.approved',
  'changes.rejected',
  'changes.conflicted',
  'changes.undone',
  'conflict.resolved',
] as const;

export type EventKind = (typeof eventKinds)[number];

/** A kind, or all of what stands before its dot. */
export const eventFilters = [
  ...new Set(eventKinds.map((kind) => kind.slice(0, kind.indexOf('.')))),
  ...eventKinds,
] as const;
