import { parentPort } from 'node:worker_threads';
import { createMatrixServant } from './matrix-servant.ts';

const carryOut = createMatrixServant((event, transfer) => parentPort?.postMessage(event, transfer));
parentPort?.on('message', carryOut);
