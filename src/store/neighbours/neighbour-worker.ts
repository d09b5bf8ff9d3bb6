import { parentPort } from 'node:worker_threads';
import { createNeighbourServant } from './neighbour-servant.ts';

const carryOut = createNeighbourServant((event, transfer) => parentPort?.postMessage(event, transfer));
parentPort?.on('message', carryOut);
