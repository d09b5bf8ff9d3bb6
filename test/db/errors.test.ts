import { describe, expect, test } from 'vitest';
import {
  DatabaseClosedError,
  DatabaseReadOnlyError,
  DatabaseTooOldError,
  DatabaseUnreachableError,
  explainDatabaseError,
  isConnectionFailure,
  sqlState,
} from '../../src/db/errors.ts';
import { assertServer } from '../../src/db/migrate.ts';

describe('a server', () => {
  const server = { version: 150_000, versionText: '15.0', isReadOnly: false };

  test('has to be PostgreSQL 15 at least', () => {
    expect(() => assertServer(server)).not.toThrow();
    expect(() => assertServer({ ...server, version: 180_004 })).not.toThrow();
    const old = () => assertServer({ ...server, version: 140_019, versionText: '14.19 (Debian)' });
    expect(old).toThrow(DatabaseTooOldError);
    expect(old).toThrow('DATABASE_URL points to PostgreSQL 14.19 (Debian); engramd needs 15 or newer');
    expect(() => assertServer({ ...server, version: 149_999 })).toThrow(
      expect.objectContaining({ code: 'DATABASE_TOO_OLD', exitCode: 2, retryable: false }),
    );
  });

  test('has to take writes', () => {
    expect(() => assertServer({ ...server, isReadOnly: true })).toThrow(DatabaseReadOnlyError);
  });
});

describe('what was thrown', () => {
  const withCode = (code: string, message = 'said the system') => Object.assign(new Error(message), { code });

  test.each([
    'EPIPE',
    'ECONNRESET',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    '57P01',
    '57P03',
    '08006',
    '53300',
  ])('%s is the connection', (code) => {
    expect(isConnectionFailure(withCode(code))).toBe(true);
    expect(explainDatabaseError(withCode(code))).toBeInstanceOf(DatabaseUnreachableError);
  });

  test.each(['22012', '40P01', '55P03', '57014', '53200', 'XX000', 'P0001', 'EPERM', 'nothing'])(
    '%s is not',
    (code) => {
      expect(isConnectionFailure(withCode(code))).toBe(false);
      const thrown = withCode(code);
      expect(explainDatabaseError(thrown)).toBe(thrown);
    },
  );

  test('counts as the connection where it is explained already, or we closed it ourselves', () => {
    expect(isConnectionFailure(new DatabaseUnreachableError('gone'))).toBe(true);
    expect(isConnectionFailure(new DatabaseClosedError())).toBe(true);
  });

  test('has a SQLSTATE only if the server gave it one', () => {
    expect(sqlState(withCode('40P01'))).toBe('40P01');
    expect(sqlState(withCode('EPIPE'))).toBeUndefined();
    expect(sqlState(withCode('HELD_CONNECTION'))).toBeUndefined();
    expect(sqlState(Object.assign(new Error(), { code: 12345 }))).toBeUndefined();
    expect(sqlState('40P01')).toBeUndefined();
    expect(sqlState(null)).toBeUndefined();
  });

  test('is told with each address that was tried', () => {
    const both = Object.assign(
      new AggregateError([withCode('ECONNREFUSED', 'connect ::1'), withCode('ECONNREFUSED', 'connect 127.0.0.1')], ''),
      {
        code: 'ECONNREFUSED',
      },
    );
    expect(String(explainDatabaseError(both))).toMatch(/does not answer: connect ::1, connect 127\.0\.0\.1$/);
  });
});
