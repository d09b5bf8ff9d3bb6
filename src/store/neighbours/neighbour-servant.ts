import { findNeighbours } from './find-neighbours.ts';
import { encodeNeighbours } from './neighbour-codec.ts';
import { seededRandom } from './seeded-random.ts';
import { UnitRows } from './unit-rows.ts';

/** Rows by id, page after page, and then the question. One set of rows a thread. */
export type NeighbourCommand =
  | { readonly kind: 'open'; readonly dimensions: number }
  | {
      readonly kind: 'append';
      readonly ids: readonly string[];
      /** `JSON.stringify` of each row's tags. */
      readonly scopes: readonly string[];
      /** `array_send(embedding)` of each row, one behind the other. */
      readonly vectors: Uint8Array<ArrayBuffer>;
    }
  | { readonly kind: 'find'; readonly floor: number };

export interface NeighbourEvent {
  readonly rows: number;
  /** As `encodeNeighbours` makes it. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** The same bank makes the same lists, whoever builds them. */
const seed = 20_260;

/**
 * Collects the rows and finds their neighbours. It runs in a thread of its own, which ends with whatever it throws.
 *
 * @returns carries out one command.
 */
export function createNeighbourServant(
  post: (event: NeighbourEvent, transfer: readonly ArrayBuffer[]) => void,
): (command: NeighbourCommand) => void {
  let rows = new UnitRows(1);
  const ids: string[] = [];
  const scopes: number[] = [];
  const numbers = new Map<string, number>();

  function numberOf(scope: string): number {
    const number = numbers.get(scope) ?? numbers.size;
    numbers.set(scope, number);
    return number;
  }

  return (command) => {
    switch (command.kind) {
      case 'open':
        rows = new UnitRows(command.dimensions);
        return;
      case 'append':
        rows.append(command.vectors);
        for (const id of command.ids) ids.push(id);
        for (const scope of command.scopes) scopes.push(numberOf(scope));
        return;
      case 'find': {
        const table = findNeighbours(rows, scopes, { floor: command.floor, random: seededRandom(seed) });
        const payload = encodeNeighbours(ids, table);
        post({ rows: ids.length, payload }, [payload.buffer]);
        return;
      }
    }
  };
}
