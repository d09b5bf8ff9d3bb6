import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { probe } from '../../../src/daemon/watchdog/probe.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const folder = createScratchFolder();
afterAll(() => removeScratchFolder(folder));
let last = 0;

/** A server that does this with each connection and its first line; the path of its socket. */
async function serve(answer: (socket: Socket, line: string) => void): Promise<string> {
  const path = join(folder, `${++last}.sock`);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (line) => answer(socket, String(line)));
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

it('asks the control plane for the status, which is no activity, and takes an answer in pieces', async () => {
  const asked: string[] = [];
  const path = await serve((socket, line) => {
    asked.push(line);
    socket.write('{"ok":true,"type":"status",');
    setImmediate(() => socket.write('"status":{}}\n'));
  });
  expect(await probe(path, 10_000)).toMatchObject({ outcome: 'good' });
  expect(asked).toEqual(['{"type":"status"}\n']);
});

it.each<[string, (socket: Socket) => void, string]>([
  ['an error', (socket) => socket.write('{"ok":false,"error":{"code":"INTERNAL"}}\n'), 'a wrong answer'],
  ['a yes that is none', (socket) => socket.write('{"ok":"true"}\n'), 'a wrong answer'],
  ['null', (socket) => socket.write('null\n'), 'a wrong answer'],
  ['no JSON', (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'), 'a wrong answer'],
  ['an end without an answer', (socket) => socket.end(), 'closed without an answer'],
  ['half an answer', (socket) => socket.end('{"ok":true'), 'closed without an answer'],
  ['more than a MiB without an end', (socket) => socket.write('x'.repeat(2 ** 20 + 1)), 'an answer without an end'],
])('takes %s for a miss', async (_, answer, why) => {
  expect(await probe(await serve(answer), 10_000)).toMatchObject({ outcome: 'missed', why });
});

it('takes silence for a miss, and no socket at all', async () => {
  expect(await probe(await serve(() => undefined), 50)).toMatchObject({ outcome: 'missed', why: 'no answer' });
  const gone = await probe(join(folder, 'none.sock'), 10_000);
  expect(gone).toMatchObject({ outcome: 'missed', why: expect.stringContaining('ENOENT') });
});
