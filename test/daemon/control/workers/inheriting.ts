import { takeInheritedSockets } from '../../../../src/daemon/control/inherited-sockets.ts';

/** Serves what it inherits: control sockets answer `control`, the others `http`, each with what is left of the variables. */
const { control, http } = await takeInheritedSockets(process.env);
const left = Object.keys(process.env).filter((name) => name.startsWith('LISTEN_'));
for (const [kind, listeners] of Object.entries({ control, http })) {
  for (const listener of listeners) {
    listener.accept((socket) => {
      socket.on('data', () => socket.end(`${kind} ${JSON.stringify(left)}`));
      socket.on('close', () => listener.close());
    });
  }
}
