import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { callControl, callRpc } from '../../../src/daemon/control/control-client.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';
import { createControlFixture, statusDocument } from './control-fixture.ts';

let fixture: Awaited<ReturnType<typeof createControlFixture>>;
let folder: string;
let stranger: Server | undefined;
beforeAll(async () => {
  folder = createScratchFolder();
  fixture = await createControlFixture();
});
afterEach(() => {
  stranger?.close();
  stranger = undefined;
});
afterAll(async () => {
  await fixture.close();
  removeScratchFolder(folder);
});

const options = { timeoutMs: 5000 };
let strangers = 0;

/** Something on the path that answers every line alike. */
async function answering(text: string): Promise<string> {
  strangers += 1;
  const path = join(folder, `${strangers}.sock`);
  stranger = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write(text));
  });
  await new Promise<void>((resolve) => stranger?.listen(path, resolve));
  return path;
}

test('asks and is answered', async () => {
  expect(await callControl(fixture.path, { type: 'status' }, options)).toEqual({
    ok: true,
    type: 'status',
    status: statusDocument,
  });
  expect(await callControl(fixture.path, { type: 'pause', seconds: 5 }, options)).toMatchObject({ note: 'pause 5000' });
  const called = await callRpc(fixture.path, { method: 'recall', result: z.string() }, options);
  expect(called).toEqual({ result: 'done' });
});

test('finds nobody where there is no socket', async () => {
  expect(await callControl(join(folder, 'none.sock'), { type: 'status' }, options)).toBeUndefined();
  expect(await callRpc(join(folder, 'none.sock'), { method: 'x', result: z.any() }, options)).toBeUndefined();
});

test('passes on an error under its code', async () => {
  const refusing = await answering('{"ok":false,"error":{"code":"UNKNOWN_TYPE","message":"no such type"}}\n');
  await expect(callControl(refusing, { type: 'wake' }, options)).rejects.toMatchObject({
    code: 'UNKNOWN_TYPE',
    message: 'no such type',
  });
  const failing = await answering(
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"none","data":{"code":"BANK_NOT_FOUND"}}}\n',
  );
  await expect(callRpc(failing, { method: 'getBank', result: z.any() }, options)).rejects.toMatchObject({
    code: 'BANK_NOT_FOUND',
  });
});

describe('does not believe', () => {
  const document = (change: object) =>
    `${JSON.stringify({ ok: true, type: 'status', status: { ...statusDocument, ...change } })}\n`;
  test.each([
    ['a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak JSON/],
    ['a status that is none', '{"ok":true,"type":"status","status":{}}\n', /status\.version: required/],
    ['a status with a wrong field', document({ due: 'many' }), /status\.due: must be a number/],
    ['an answer to another question', '{"ok":true,"type":"wake","state":"wake","note":""}\n', /type/],
    ['a state that there is not', '{"ok":true,"type":"status","status":null}\n', /status: /],
    ['nothing at all', '{}\n', /otherwise than this version expects/],
  ])('%s', async (_, text, why) => {
    const path = await answering(text);
    const asked = callControl(path, { type: 'status' }, options);
    await expect(asked).rejects.toMatchObject({ code: 'CONTROL_REPLY', exitCode: 1 });
    await expect(asked).rejects.toThrow(why);
  });

  test('a result of another shape', async () => {
    const asked = callRpc(fixture.path, { method: 'recall', result: z.number() }, options);
    await expect(asked).rejects.toMatchObject({ code: 'CONTROL_REPLY' });
  });
});

test('gives up on who never answers, and on who hangs up', async () => {
  const silent = await answering('');
  await expect(callControl(silent, { type: 'status' }, { timeoutMs: 20 })).rejects.toMatchObject({
    code: 'CONTROL_SILENT',
    exitCode: 3,
  });
  stranger?.on('connection', (socket) => socket.end());
  await expect(callControl(silent, { type: 'status' }, options)).rejects.toThrow(/closed the connection/);
});

test('stops waiting when it is told to', async () => {
  const silent = await answering('');
  const over = new AbortController();
  const asked = callControl(silent, { type: 'status' }, { ...options, signal: over.signal });
  over.abort(new Error('enough'));
  await expect(asked).rejects.toThrow('enough');
});
