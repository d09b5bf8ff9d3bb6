import { errorMessage } from '../../telemetry/engramd-error.ts';
import { Matrix, type MatrixChange, type MatrixHits, type MatrixQuery } from './matrix.ts';

/** Carried out in the order in which they are posted: a search sees every change posted before it. */
export type MatrixCommand =
  | { readonly kind: 'open'; readonly matrix: number; readonly dimensions: number }
  | { readonly kind: 'apply'; readonly matrix: number; readonly change: MatrixChange }
  | {
      readonly kind: 'search';
      readonly matrix: number;
      readonly search: number;
      readonly queries: readonly MatrixQuery[];
    }
  | { readonly kind: 'close'; readonly matrix: number };

export type MatrixEvent =
  | {
      readonly kind: 'resized';
      readonly matrix: number;
      readonly bytes: number;
      /** Without those that are only kept for searches of the dead. */
      readonly liveRows: number;
    }
  | { readonly kind: 'found'; readonly search: number; readonly hits: readonly MatrixHits[] }
  | { readonly kind: 'failed'; readonly search: number; readonly message: string };

/**
 * Keeps matrices and does with them what it is told. It runs in a thread of its own; what it has to say goes to `post`.
 *
 * @returns carries out one command. Whatever it throws has to end the thread: a matrix that missed a change is worse than none.
 */
export function createMatrixServant(
  post: (event: MatrixEvent, transfer: readonly ArrayBuffer[]) => void,
): (command: MatrixCommand) => void {
  const matrices = new Map<number, Matrix>();

  function matrixOf(handle: number): Matrix {
    const matrix = matrices.get(handle);
    if (!matrix) throw new Error(`no matrix ${handle}`);
    return matrix;
  }

  return (command) => {
    switch (command.kind) {
      case 'open':
        matrices.set(command.matrix, new Matrix(command.dimensions));
        return;
      case 'apply': {
        const matrix = matrixOf(command.matrix);
        matrix.apply(command.change);
        post({ kind: 'resized', matrix: command.matrix, bytes: matrix.bytes, liveRows: matrix.liveRows }, []);
        return;
      }
      case 'search':
        try {
          const hits = matrixOf(command.matrix).search(command.queries);
          const transfer = hits.map(({ similarities }) => similarities.buffer);
          post({ kind: 'found', search: command.search, hits }, transfer);
        } catch (thrown) {
          post({ kind: 'failed', search: command.search, message: errorMessage(thrown) }, []);
        }
        return;
      case 'close':
        matrices.delete(command.matrix);
        return;
    }
  };
}
