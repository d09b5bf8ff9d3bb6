import { BackupDamagedError } from './backup-errors.ts';

/**
 * Finds the rows in a binary COPY, however it is cut into chunks. The bytes are handed on as they came: only a row that
 * lies across chunks is copied together.
 */
export interface CopyTuples {
  push(chunk: Buffer): void;
  /** @throws BackupDamagedError where the end marker has not come yet */
  end(): void;
}

/** "PGCOPY\n\377\r\n\0" */
const signature = Buffer.from('5047434f50590aff0d0a00', 'hex');
/** After the signature: flags, then the length of an extension that nobody has used yet. */
const headerBytes = signature.length + 8;

/** What the next bytes are. A number's bytes may lie in two chunks. */
type Part = 'header' | 'field-count' | 'field-length' | 'field' | 'done';

/** @param onTuple gets a row's bytes, field count included; they are good until it returns */
export function createCopyTuples(onTuple: (tuple: Uint8Array) => void): CopyTuples {
  let part: Part = 'header';
  let left = headerBytes;
  let fieldsLeft = 0;
  /** Of a header or a number that began in an earlier chunk. */
  let begun: Buffer | null = null;
  /** Of a row that began in an earlier chunk. */
  let pieces: Buffer[] = [];

  function startTuple(): void {
    part = 'field-count';
    left = 2;
  }

  /** All of a header or a number is at `at`. @returns whether a row ended with it */
  function read(bytes: Buffer, at: number): boolean {
    switch (part) {
      case 'header':
        if (
          signature.compare(bytes, at, at + signature.length) !== 0 ||
          bytes.readUInt32BE(at + headerBytes - 4) !== 0
        ) {
          throw new BackupDamagedError('this is not a binary COPY');
        }
        startTuple();
        return false;
      case 'field-count':
        fieldsLeft = bytes.readInt16BE(at);
        if (fieldsLeft === -1) {
          part = 'done';
          left = 0;
          return false;
        }
        if (fieldsLeft < 0) throw new BackupDamagedError(`a row of a binary COPY has ${fieldsLeft} fields`);
        return nextField();
      case 'field-length': {
        const length = bytes.readInt32BE(at);
        if (length < -1) throw new BackupDamagedError(`a field of a binary COPY is ${length} bytes long`);
        fieldsLeft -= 1;
        if (length <= 0) return nextField();
        part = 'field';
        left = length;
        return false;
      }
      case 'field':
      case 'done':
        return false;
      default:
        throw part satisfies never;
    }
  }

  /** @returns whether there is none */
  function nextField(): boolean {
    if (fieldsLeft === 0) return true;
    part = 'field-length';
    left = 4;
    return false;
  }

  return {
    push(chunk) {
      let at = 0;
      /** Where the row under way begins in this chunk. */
      let start = 0;
      while (at < chunk.length) {
        if (part === 'done') throw new BackupDamagedError('something comes after the end of a binary COPY');
        const end = Math.min(at + left, chunk.length);
        left -= end - at;
        let isOver = false;
        if (part === 'field') {
          at = end;
          isOver = left === 0 && nextField();
        } else {
          const wasHeader = part === 'header';
          if (part === 'field-count' && begun === null) start = at;
          // A view for each number would cost more than reading it.
          if (left > 0) begun = joined(begun, chunk.subarray(at, end));
          else if (begun === null) isOver = read(chunk, at);
          else {
            isOver = read(joined(begun, chunk.subarray(at, end)), 0);
            begun = null;
          }
          at = end;
          if (wasHeader) start = at;
        }
        if (!isOver) continue;
        const tail = chunk.subarray(start, at);
        onTuple(pieces.length === 0 ? tail : Buffer.concat([...pieces, tail]));
        pieces = [];
        start = at;
        startTuple();
      }
      if (part !== 'header' && part !== 'done' && start < chunk.length) pieces.push(chunk.subarray(start));
    },
    end() {
      if (part !== 'done') throw new BackupDamagedError('a binary COPY ends before its end marker');
    },
  };
}

function joined(begun: Buffer | null, more: Buffer): Buffer {
  return begun ? Buffer.concat([begun, more]) : more;
}
