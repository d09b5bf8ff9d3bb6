/** A table of an export, in the order in which foreign keys let it be written. */
export interface TransferTable {
  readonly name: TransferTableName;
  /** The column that says which bank a row is of. Null: the models that the bank's vectors come from. */
  readonly bankColumn: 'id' | 'bank_id' | 'scope' | null;
  /** Primary key, or what else gives rows their order. */
  readonly order: readonly string[];
}

export const transferTables = [
  { name: 'embedding_models', bankColumn: null, order: ['id'] },
  { name: 'banks', bankColumn: 'id', order: ['id'] },
  { name: 'memories', bankColumn: 'bank_id', order: ['id'] },
  { name: 'entities', bankColumn: 'bank_id', order: ['id'] },
  { name: 'memory_entities', bankColumn: 'bank_id', order: ['memory_id', 'entity_id'] },
  { name: 'scopes', bankColumn: 'bank_id', order: ['tags'] },
  { name: 'observations', bankColumn: 'bank_id', order: ['id'] },
  { name: 'observation_sources', bankColumn: 'bank_id', order: ['observation_id', 'memory_id'] },
  { name: 'runs', bankColumn: 'bank_id', order: ['id'] },
  { name: 'change_sets', bankColumn: 'bank_id', order: ['id'] },
  // In the order in which they took effect.
  { name: 'change_ops', bankColumn: 'bank_id', order: ['applied_no'] },
  { name: 'conflicts', bankColumn: 'bank_id', order: ['id'] },
  { name: 'verdicts', bankColumn: 'bank_id', order: ['key'] },
  { name: 'erasures', bankColumn: 'bank_id', order: ['memory_id'] },
  { name: 'idempotency_keys', bankColumn: 'scope', order: ['key'] },
  { name: 'snapshots', bankColumn: 'bank_id', order: ['id'] },
  { name: 'snapshot_rows', bankColumn: 'bank_id', order: ['snapshot_id', 'target', 'row_id'] },
  { name: 'events', bankColumn: 'bank_id', order: ['id'] },
] as const satisfies readonly { name: string; bankColumn: string | null; order: readonly string[] }[];

export type TransferTableName = (typeof transferTables)[number]['name'];

/** Tables with a bank that stay behind: of the moment, of one database's money, or made anew by themselves. */
export const leftBehind = {
  attempts: 'what a worker was at',
  contradiction_marks: 'by transaction ids: looked through once more',
  sweep_marks: 'by transaction ids: looked through once more',
  shared_builds: 'by transaction ids: built once more',
  build_leases: 'leases',
  vector_tombstones: 'no cache knows the bank yet',
  model_calls: 'what was spent was spent elsewhere',
  model_answers: 'found by attempts, which stay behind',
  next_embeddings: 'of a change of models that goes on elsewhere',
  erasures_due: 'erased before the export, or after the import',
} as const;
