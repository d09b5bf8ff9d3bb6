import type { AppDeps } from '../app-deps.ts';
import type { Route } from '../route.ts';
import { bankRoutes } from './bank-routes.ts';
import { consolidationRoutes } from './consolidation-routes.ts';
import { costRoutes } from './cost-routes.ts';
import { curationRoutes } from './curation-routes.ts';
import { daemonRoutes } from './daemon-routes.ts';
import { digestRoutes } from './digest-routes.ts';
import { embeddingRoutes } from './embedding-routes.ts';
import { explainRoutes } from './explain-routes.ts';
import { memoryRoutes } from './memory-routes.ts';
import { pinRoutes } from './pin-routes.ts';
import { recallRoutes } from './recall-routes.ts';
import { reviewRoutes } from './review-routes.ts';
import { snapshotRoutes } from './snapshot-routes.ts';
import { timelineRoutes } from './timeline-routes.ts';

/** All that can be asked of `/v1`, and by its name on the control socket, in the order of the OpenAPI document. */
export function apiRoutes(deps: AppDeps): Route[] {
  return [
    ...bankRoutes(deps),
    ...memoryRoutes(deps),
    ...recallRoutes(deps),
    ...consolidationRoutes(deps),
    ...curationRoutes(deps),
    ...pinRoutes(deps),
    ...reviewRoutes(deps),
    ...explainRoutes(deps),
    ...timelineRoutes(deps),
    ...costRoutes(deps),
    ...digestRoutes(deps),
    ...snapshotRoutes(deps),
    ...daemonRoutes(deps),
    ...embeddingRoutes(deps),
  ];
}
