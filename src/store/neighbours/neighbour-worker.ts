import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { createNeighbourServant } from './neighbour-servant.ts';

// Nobody waits for it as one waits for an answer. On Linux this is of the calling thread alone; elsewhere it would be of the
// whole process.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const carryOut = createNeighbourServant((event, transfer) => parentPort?.postMessage(event, transfer));
parentPort?.on('message', carryOut);
