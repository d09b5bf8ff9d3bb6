import { createServer } from 'node:http';
import { takeInheritedSockets } from '../../../../src/daemon/control/inherited-sockets.ts';

/** Serves what it inherits: control sockets answer `control`, the others `http`, each with what is left of the variables. */
const { control, http } = await takeInheritedSockets(process.env);
const left = JSON.stringify(Object.keys(process.env).filter((name) => name.startsWith('LISTEN_')));
for (const listener of control) {
  listener.accept((socket) => {
    socket.on('data', () => socket.end(`control ${left}`));
    socket.on('close', () => listener.close());
  });
}
for (const listener of http) {
  const server = createServer({ requestTimeout: 50, connectionsCheckingInterval: 20 }, (_request, response) => {
    response.end(`http ${left}`);
  });
  await listener.moveTo(server);
  // The one that never finishes is the last to come.
  server.on('clientError', (_error, socket) => {
    socket.end('given up');
    server.close();
  });
}
