import { Socket } from 'node:net';

/** The real embedder's thread on a machine without a network: any attempt to reach one ends the thread. */
Socket.prototype.connect = () => {
  throw new Error('the network was touched');
};
globalThis.fetch = () => {
  throw new Error('the network was touched');
};

await import('../../../src/models/local/embed-worker.ts');
