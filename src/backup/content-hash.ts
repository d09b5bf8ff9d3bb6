import { hash } from 'node:crypto';

/** A table's rows as one number, whatever their order. */
export interface ContentHash {
  readonly rows: number;
  /** One row, as binary COPY writes it: field count, then length and bytes of each field. */
  add(tuple: Uint8Array): void;
  /** 64 hex digits, the most significant first. */
  digest(): string;
}

const lanes = 8;
/** A lane is a sum of 32-bit numbers in a double: exact below 2^53. */
const mostUncarried = 2 ** 20;

/**
 * The sum of the SHA-256 of every row, modulo 2^256. A heap gives its rows in no order, and sorting a large table costs
 * more than the rest of its backup. A sum and not XOR: two equal rows would be none.
 */
export function createContentHash(): ContentHash {
  /** Least significant first. */
  const sum = new Float64Array(lanes);
  let rows = 0;

  function carry(): void {
    let over = 0;
    for (let lane = 0; lane < lanes; lane += 1) {
      const value = (sum[lane] ?? 0) + over;
      over = Math.floor(value / 2 ** 32);
      sum[lane] = value - over * 2 ** 32;
    }
  }

  return {
    get rows() {
      return rows;
    },
    add(tuple) {
      const digest = hash('sha256', tuple, 'buffer');
      for (let lane = 0; lane < lanes; lane += 1) {
        sum[lane] = (sum[lane] ?? 0) + digest.readUInt32BE((lanes - 1 - lane) * 4);
      }
      rows += 1;
      if (rows % mostUncarried === 0) carry();
    },
    digest() {
      carry();
      return Array.from(sum, (lane) => lane.toString(16).padStart(8, '0'))
        .reverse()
        .join('');
    },
  };
}
