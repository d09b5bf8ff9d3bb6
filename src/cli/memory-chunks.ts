import type { JsonLine } from '../ingest/json-lines.ts';
import type { MemoryInput } from '../ingest/memory-schema.ts';

export interface BadLine {
  readonly line: number;
  readonly reason: string;
}

export interface MemoryChunk {
  readonly memories: readonly MemoryInput[];
  /** Where each memory stood. */
  readonly lines: readonly number[];
}

/** The server takes 1 MiB; the rest is room for the brackets and commas. */
const maxChunkBytes = 1024 * 1024 - 16 * 1024;
/** Small enough for progress to move and for a transaction to be short. */
const maxChunkMemories = 250;

/**
 * Groups good lines into bodies that a request may have, each memory with a key of `keyPrefix` and its line, so that the
 * same file can be sent again. Bad lines go to `onBad`.
 */
export async function* chunkMemories(
  lines: AsyncIterable<JsonLine>,
  keyPrefix: string,
  onBad: (line: BadLine) => void,
): AsyncGenerator<MemoryChunk> {
  let memories: MemoryInput[] = [];
  let numbers: number[] = [];
  let bytes = 0;
  for await (const entry of lines) {
    if ('reason' in entry) {
      onBad(entry);
      continue;
    }
    const memory = { ...entry.memory, idempotency_key: entry.memory.idempotency_key ?? `${keyPrefix}:${entry.line}` };
    const size = Buffer.byteLength(JSON.stringify(memory)) + 1;
    if (memories.length > 0 && (bytes + size > maxChunkBytes || memories.length >= maxChunkMemories)) {
      yield { memories, lines: numbers };
      [memories, numbers, bytes] = [[], [], 0];
    }
    memories.push(memory);
    numbers.push(entry.line);
    bytes += size;
  }
  if (memories.length > 0) yield { memories, lines: numbers };
}
