import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startControlServer } from '../../../src/daemon/control/control-server.ts';
import { type InheritedListener, takeInheritedSockets } from '../../../src/daemon/control/inherited-sockets.ts';
import { listenOnPath } from '../../../src/daemon/control/listen-on-path.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';
import { openClient, statusDocument } from './control-fixture.ts';

let folder: string;
beforeAll(() => {
  folder = createScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const closed = (server: Server) => new Promise((resolve) => server.close(resolve));

/** What a killed daemon leaves: a socket file that nobody listens on. */
async function leaveStale(path: string): Promise<void> {
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', program]), 'close');
  expect(existsSync(path)).toBe(true);
}

describe('the path of the socket', () => {
  test('that a dead daemon left is taken over', async () => {
    const path = join(folder, 'stale.sock');
    await leaveStale(path);
    const server = createServer();
    await listenOnPath(server, path);
    (await openClient(path)).socket.destroy();
    await closed(server);
    expect(existsSync(path)).toBe(false);
  });

  test('on which somebody answers stays theirs', async () => {
    const path = join(folder, 'taken.sock');
    const theirs = createServer();
    await listenOnPath(theirs, path);
    await expect(listenOnPath(createServer(), path)).rejects.toMatchObject({ code: 'SOCKET_IN_USE', exitCode: 4 });
    (await openClient(path)).socket.destroy();
    await closed(theirs);
  });

  test('that is a file of somebody is left as it is', async () => {
    const path = join(folder, 'diary.txt');
    writeFileSync(path, 'dear diary');
    await expect(listenOnPath(createServer(), path)).rejects.toMatchObject({
      code: 'SOCKET_PATH',
      exitCode: 2,
      message: expect.stringContaining('ENGRAMD_SOCKET'),
    });
    expect(readFileSync(path, 'utf8')).toBe('dear diary');
  });

  test.each([
    ['longer than an address holds', (at: string) => join(at, 'x'.repeat(107)), /of at most 10[37]/],
    ['in a folder that is not there', (at: string) => join(at, 'nowhere', 'engramd.sock'), /folder does not exist/],
    ['under a file', (at: string) => join(at, 'file', 'engramd.sock'), /not a directory/],
    ['that is a folder', (at: string) => join(at, 'folder'), /no socket/],
  ])('%s is said, with the setting that changes it', async (_, pathIn, why) => {
    writeFileSync(join(folder, 'file'), '');
    mkdirSync(join(folder, 'folder'), { recursive: true });
    const refused = listenOnPath(createServer(), pathIn(folder));
    await expect(refused).rejects.toMatchObject({ code: 'SOCKET_PATH', exitCode: 2 });
    await expect(refused).rejects.toThrow(why);
    await expect(refused).rejects.toThrow('ENGRAMD_SOCKET');
  });
});

/** Hands listening sockets to a process as a supervisor would. */
function inherit(listeners: readonly Server[]): { stderr: () => string; ended: Promise<unknown> } {
  const entry = fileURLToPath(new URL('./workers/inheriting.ts', import.meta.url));
  const descriptors = listeners.map((server) => (server as unknown as { _handle: { fd: number } })._handle.fd);
  const child = spawn('sh', ['-c', 'LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$1"', process.execPath, entry], {
    env: { PATH: process.env.PATH, LISTEN_FDS: String(listeners.length), LISTEN_FDNAMES: 'one:other' },
    stdio: ['ignore', 'ignore', 'pipe', ...descriptors],
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return { stderr: () => stderr, ended: once(child, 'close') };
}

async function answerOf(address: string | number, request: string): Promise<string> {
  const socket = typeof address === 'string' ? connect(address) : connect(address, '127.0.0.1');
  socket.write(request);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

describe('sockets that the supervisor hands down', () => {
  test('are told apart by what they are, whatever their order, and children do not hear of them', async () => {
    const path = join(folder, 'inherited.sock');
    const tcp = createServer();
    const unix = createServer();
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => unix.listen(`${path}.made`, resolve));
    const { port } = tcp.address() as AddressInfo;
    const child = inherit([tcp, unix]);
    // The child alone accepts from here on; a server that closes removes its path.
    renameSync(`${path}.made`, path);
    tcp.close();
    unix.close();
    const web = await answerOf(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect(web, child.stderr()).toMatch(/^HTTP\/1\.1 200 [\s\S]*http \[\]/);
    expect(await answerOf(path, 'who is there?')).toBe('control []');
    // The HTTP server is a whole one: it gives up on who never finishes.
    expect(await answerOf(port, 'GET / HTTP/1.1\r\n')).toBe('given up');
    await child.ended;
  });

  test('meant for another process are not touched, and their variables go', async () => {
    const env = { LISTEN_PID: '1', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', HOME: '/' };
    expect(await takeInheritedSockets(env)).toEqual({ control: [], http: [] });
    expect(env).toEqual({ HOME: '/' });
  });

  test.each([
    ['a number that is none', 'many'],
    ['descriptors that are no sockets', '1'],
  ])('with %s are refused as a bad configuration', async (_, count) => {
    const env = { LISTEN_PID: String(process.pid), LISTEN_FDS: count };
    await expect(takeInheritedSockets(env)).rejects.toMatchObject({ code: 'INHERITED_SOCKET', exitCode: 2 });
  });

  test('are served like one of our own', async () => {
    const path = join(folder, 'handed.sock');
    const theirs = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    await listenOnPath(theirs, path);
    const listener: InheritedListener = {
      accept: (onConnection) =>
        void theirs.on('connection', (socket) => {
          onConnection(socket);
          socket.resume();
        }),
      moveTo: async () => undefined,
      close: () => void theirs.close(),
    };
    const server = await startControlServer({
      at: { inherited: [listener] },
      handlers: { status: { fresh: async () => statusDocument, last: () => statusDocument }, life: {} as never },
      dispatch: async () => ({ jsonrpc: '2.0', id: 1, result: null }),
      clock: systemClock,
      log: silentLog,
    });
    const client = await openClient(path);
    client.send({ type: 'status' });
    expect(await client.next()).toMatchObject({ ok: true });
    client.socket.destroy();
    await server.stop();
  });
});
