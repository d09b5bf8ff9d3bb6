import { EventEmitter } from 'node:events';
import { createNeighbourServant, type NeighbourCommand } from '../../src/store/neighbours/neighbour-servant.ts';
import { createMatrixServant, type MatrixCommand } from '../../src/store/vectors/matrix-servant.ts';
import type { WorkerLike } from '../../src/store/vectors/worker-like.ts';

/** What a worker thread does, done on the main thread instead: command after command, each in a turn of its own. */
function onMainThread<Command>(servantFor: (post: (event: object) => void) => (command: Command) => void): WorkerLike {
  const events = new EventEmitter();
  let isOver = false;
  const carryOut = servantFor((event) => setImmediate(() => events.emit('message', event)));
  const worker = {
    on: events.on.bind(events),
    postMessage(command: Command) {
      setImmediate(() => {
        if (!isOver) carryOut(command);
      });
    },
    ref() {},
    unref() {},
    async terminate() {
      isOver = true;
      events.emit('exit', 0);
      return 0;
    },
  };
  // As much of a worker as its callers use; the rest of the class is not theirs.
  return worker as unknown as WorkerLike;
}

export const mainThreadWork = {
  startMatrixWorker: () => onMainThread<MatrixCommand>(createMatrixServant),
  startNeighbourWorker: () => onMainThread<NeighbourCommand>(createNeighbourServant),
};
