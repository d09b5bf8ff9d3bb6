/** Rows moved by one statement: well under a second, so that nobody waits for the whole bank. */
export const chunkRows = 2000;

/** A part of a bank's memories that one statement has moved, in the order of ids. */
export interface MemoryChunk {
  readonly memories: number;
  /** Where to go on; null where nothing follows. */
  readonly after: string | null;
}

/** As such a statement tells it: how many it moved, and the last it looked at. */
export interface MemoryChunkRow {
  readonly n: number;
  readonly last: string | null;
}

export function memoryChunk(row: MemoryChunkRow | undefined): MemoryChunk {
  return { memories: row?.n ?? 0, after: row?.last ?? null };
}
