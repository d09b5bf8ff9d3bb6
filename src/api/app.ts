import type { FastifyInstance } from 'fastify';
import type { AppDeps } from './app-deps.ts';

/**
 * The HTTP surface, not listening yet: a daemon calls `listen`, a command without a daemon calls `inject`, and both
 * reach the same routes.
 */
export async function createApp(_deps: AppDeps): Promise<FastifyInstance> {
  throw new Error('not built yet');
}
