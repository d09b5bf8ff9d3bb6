const newline = 0x0a;

/** A line is longer than any request is; nothing behind it can be read. */
export class LineTooLongError extends Error {
  override readonly name = 'LineTooLongError';
}

/** Cuts a stream into lines, whatever pieces it comes in. */
export interface LineSplitter {
  /**
   * The lines that `chunk` completes, without their ends and without empty ones.
   *
   * @throws LineTooLongError as soon as a line is longer than allowed, complete or not; those before it were given
   */
  push(chunk: Buffer): Iterable<Buffer>;
}

export function createLineSplitter(maxBytes: number): LineSplitter {
  // Kept in pieces: joined at each chunk, a line that comes byte by byte would be copied a million times.
  let pieces: Buffer[] = [];
  let length = 0;

  function take(piece: Buffer): void {
    length += piece.length;
    if (length > maxBytes) throw new LineTooLongError(`a line of more than ${maxBytes} bytes`);
    if (piece.length > 0) pieces.push(piece);
  }

  return {
    *push(chunk) {
      let from = 0;
      for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
        take(chunk.subarray(from, end));
        from = end + 1;
        const line = Buffer.concat(pieces);
        pieces = [];
        length = 0;
        if (!isBlank(line)) yield line;
      }
      take(chunk.subarray(from));
    },
  };
}

/** Nothing but what JSON takes for space, e.g. the `\r` of a terminal. */
function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
