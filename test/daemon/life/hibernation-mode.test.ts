import { expect, it } from 'vitest';
import type { InheritedSockets } from '../../../src/daemon/control/inherited-sockets.ts';
import { hibernationMode } from '../../../src/daemon/life/hibernation-mode.ts';
import type { ServiceMarker } from '../../../src/daemon/service-marker.ts';

const marker: ServiceMarker = {
  kind: 'systemd',
  scope: 'system',
  unit: 'engramd.service',
  hasTimer: true,
  socket: '/run/engramd/engramd.sock',
};
const socket = {} as never;
const inherited: InheritedSockets = { control: [socket], http: [socket] };
const launchd: ServiceMarker = { kind: 'launchd', scope: 'user', label: 'dev.engramd.daemon', hasTimer: true };
const supervised = { hibernate: 'exit', pid: 4711, marker, inherited } as const;

it('ends the process where its service starts it again, for what is due and for whoever comes', () => {
  expect(hibernationMode(supervised)).toEqual({ kind: 'exit', warning: null });
});

it.each([
  ['as process 1', { pid: 1 }, 'process 1'],
  ['without a service', { marker: undefined }, 'no timer'],
  ['without a timer', { marker: { ...marker, hasTimer: false } }, 'no timer'],
  ['under launchd, which wakes it for nobody', { marker: launchd }, 'launchd would not start it'],
  ['from a terminal', { inherited: undefined }, 'handed it no sockets'],
  // A shell that the service has started has its INVOCATION_ID, too.
  ['as the child of a service', { inherited: { control: [], http: [] } }, 'handed it no sockets'],
  ['without a socket for commands', { inherited: { control: [], http: [socket] } }, 'handed it no sockets'],
  ['without a socket for requests', { inherited: { control: [socket], http: [] } }, 'handed it no sockets'],
])('parks %s, and says why', (_, differs, why) => {
  const mode = hibernationMode({ ...supervised, ...differs });
  expect(mode.kind).toBe('park');
  expect(mode.warning).toMatch(new RegExp(`^ENGRAMD_HIBERNATE=exit parks instead: .*${why}`));
});

it.each(['park', 'off'] as const)('leaves %s as it is', (hibernate) => {
  expect(hibernationMode({ ...supervised, hibernate, marker: undefined })).toEqual({ kind: hibernate, warning: null });
});
