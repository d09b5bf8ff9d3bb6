import { expect, it } from 'vitest';
import { hibernationMode } from '../../../src/daemon/life/hibernation-mode.ts';
import type { ServiceMarker } from '../../../src/daemon/service-marker.ts';

const marker: ServiceMarker = {
  kind: 'systemd',
  scope: 'system',
  unit: 'engramd.service',
  hasTimer: true,
  socket: '/run/engramd/engramd.sock',
};
const supervised = { hibernate: 'exit', pid: 4711, marker, env: { INVOCATION_ID: 'a1' } } as const;

it('ends the process where its service starts it again, for what is due and for whoever comes', () => {
  expect(hibernationMode(supervised)).toEqual({ kind: 'exit', warning: null });
  expect(hibernationMode({ ...supervised, env: { XPC_SERVICE_NAME: 'engramd' } }).kind).toBe('exit');
});

it.each([
  ['as process 1', { pid: 1 }, 'process 1'],
  ['without a service', { marker: undefined }, 'no timer'],
  ['without a timer', { marker: { ...marker, hasTimer: false } }, 'no timer'],
  ['from a terminal', { env: {} }, 'not started by its service'],
])('parks %s, and says why', (_, differs, why) => {
  const mode = hibernationMode({ ...supervised, ...differs });
  expect(mode.kind).toBe('park');
  expect(mode.warning).toMatch(new RegExp(`^ENGRAMD_HIBERNATE=exit parks instead: .*${why}`));
});

it.each(['park', 'off'] as const)('leaves %s as it is', (hibernate) => {
  expect(hibernationMode({ ...supervised, hibernate, marker: undefined })).toEqual({ kind: hibernate, warning: null });
});
