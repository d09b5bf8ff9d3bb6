import { ImportLineError } from './export-format.ts';

/** Something that can be read more than once. */
export interface ExportSource {
  chunks(): AsyncIterable<Uint8Array>;
}

/** Half of what the runtime can hold in a string, and all that the server takes in a value. */
export const mostBytesALine = 256 * 1024 * 1024;

const lineEnd = 0x0a;
const carriageReturn = 0x0d;

/**
 * Lines without their ends. Only a line feed ends one: a text may hold what other readers of lines take for an end.
 *
 * @throws ImportLineError for a line that is longer than `mostBytes`, or not UTF-8
 */
export async function* linesOf(source: ExportSource, mostBytes = mostBytesALine): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let number = 1;
  const add = (part: Uint8Array) => {
    bytes += part.length;
    if (bytes > mostBytes) {
      throw new ImportLineError(number, `longer than ${mostBytes / 1024 / 1024} MiB, which no row of an export is`);
    }
    parts.push(part);
  };
  const finish = () => {
    const line = decode(Buffer.concat(parts, bytes), number);
    parts = [];
    bytes = 0;
    number += 1;
    return line;
  };
  for await (const chunk of source.chunks()) {
    let from = 0;
    for (let end = chunk.indexOf(lineEnd); end !== -1; end = chunk.indexOf(lineEnd, from)) {
      add(chunk.subarray(from, end));
      from = end + 1;
      yield finish();
    }
    if (from < chunk.length) add(chunk.subarray(from));
  }
  if (bytes > 0) yield finish();
}

function decode(line: Uint8Array, number: number): string {
  const end = line.at(-1) === carriageReturn ? line.length - 1 : line.length;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line.subarray(0, end));
  } catch (cause) {
    throw new ImportLineError(number, 'not UTF-8', { cause });
  }
}
