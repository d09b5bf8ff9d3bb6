import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { nodeFiles } from './backup-files.ts';
import { type DumpOptions, openDump } from './dump.ts';
import { createDumpServant } from './dump-servant.ts';

// Nobody waits for it as one waits for an answer. On Linux this is of the calling thread alone; elsewhere it would be of the
// whole process.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const dump = openDump({ ...(workerData as DumpOptions), files: nodeFiles });
const carryOut = createDumpServant(dump, (event) => parentPort?.postMessage(event));
parentPort?.on('message', carryOut);
