import { parentPort } from 'node:worker_threads';
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
  | { readonly kind: 'resized'; readonly matrix: number; readonly bytes: number }
  | { readonly kind: 'found'; readonly search: number; readonly hits: readonly MatrixHits[] }
  | { readonly kind: 'failed'; readonly search: number; readonly message: string };

const matrices = new Map<number, Matrix>();

function matrixOf(handle: number): Matrix {
  const matrix = matrices.get(handle);
  if (!matrix) throw new Error(`no matrix ${handle}`);
  return matrix;
}

function carryOut(command: MatrixCommand): void {
  switch (command.kind) {
    case 'open':
      matrices.set(command.matrix, new Matrix(command.dimensions));
      return;
    case 'apply': {
      // Whatever throws here ends the thread, on purpose: a matrix that missed a change is worse than none.
      const matrix = matrixOf(command.matrix);
      matrix.apply(command.change);
      post({ kind: 'resized', matrix: command.matrix, bytes: matrix.bytes });
      return;
    }
    case 'search':
      try {
        post({ kind: 'found', search: command.search, hits: matrixOf(command.matrix).search(command.queries) });
      } catch (thrown) {
        post({ kind: 'failed', search: command.search, message: errorMessage(thrown) });
      }
      return;
    case 'close':
      matrices.delete(command.matrix);
      return;
  }
}

function post(event: MatrixEvent): void {
  const transfer = event.kind === 'found' ? event.hits.map((hits) => hits.similarities.buffer) : [];
  parentPort?.postMessage(event, transfer);
}

parentPort?.on('message', carryOut);
