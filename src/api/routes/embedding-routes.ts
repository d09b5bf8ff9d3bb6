import { z } from 'zod';
import { calibrate } from '../../consolidation/calibration/calibrate.ts';
import { repeatSimilarityOf } from '../../consolidation/repeat-similarity.ts';
import {
  EmbeddingSwitchRefusedError,
  type SwitchEstimate,
  type SwitchProgress,
} from '../../ingest/embedding-switch.ts';
import { currentEmbedder } from '../../models/embedder.ts';
import { EmbeddingModelUnavailableError } from '../../models/embeddings/embedding-errors.ts';
import { activeEmbeddingModel, setCalibration } from '../../store/embedding-models.ts';
import { ApiError } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { type Route, route } from '../route.ts';

const usd = z.number().nullable().meta({ description: 'Dollars; null where the price of the model is not known.' });

const progressSchema = z
  .strictObject({
    model: z.string(),
    dimensions: z.int(),
    started_at: z.iso.datetime(),
    working: z.boolean().meta({ description: 'A daemon is at it.' }),
    problem: z.string().nullable().meta({ description: 'What the last daemon that tried was stopped by.' }),
    texts: z.int(),
    done: z.int(),
    tokens: z.int().meta({ description: 'Used so far; 0 for the local model.' }),
    cost_usd: z.number(),
  })
  .meta({ id: 'EmbeddingSwitch' });

const estimateSchema = z
  .strictObject({
    from: z.string().nullable(),
    to: z.string(),
    texts: z.int(),
    tokens: z.int().meta({ description: 'Estimated from the length of the texts.' }),
    cost_usd: usd,
    seconds: z.int().meta({ description: 'About how long, if nothing is in the way.' }),
    started: z.boolean(),
  })
  .meta({ id: 'EmbeddingSwitchEstimate' });

const statusSchema = z
  .strictObject({
    model: z.string(),
    dimensions: z.int().meta({ description: '0 before the first answer of an unknown model.' }),
    pinned: z
      .boolean()
      .meta({ description: 'Whether the database has vectors of it; else the settings still decide.' }),
    configured: z.string(),
    repeat_similarity: z.number().meta({ description: 'Cosine from which two texts are worth a decision.' }),
    calibrated_at: z.iso.datetime().nullable(),
    switch: progressSchema.nullable(),
  })
  .meta({ id: 'Embeddings' });

const scoreSchema = z.strictObject({ threshold: z.number(), recall: z.number(), precision: z.number() });

const calibrationSchema = z
  .strictObject({
    model: z.string(),
    pairs: z.int(),
    scores: z.array(scoreSchema),
    proposed: z.number(),
    before: z.number(),
    set: z.number().nullable().meta({ description: 'What holds from now on; null where nothing was changed.' }),
  })
  .meta({ id: 'Calibration' });

/** The model behind the vectors: which it is, how to change it, and from where on two texts are near. */
export function embeddingRoutes(deps: AppDeps): Route[] {
  const { db, embeddings, settings } = deps;

  async function refusing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof EmbeddingSwitchRefusedError) throw new ApiError(409, thrown.code, thrown.message);
      // Whoever asks for a model has to say where it is; waiting does not help.
      if (thrown instanceof EmbeddingModelUnavailableError) throw new ApiError(422, thrown.code, thrown.message);
      throw thrown;
    }
  }

  return [
    route({
      method: 'GET',
      path: '/v1/embeddings',
      operationId: 'embeddings',
      summary: 'The embedding model of the database, its calibration, and a switch that is under way.',
      response: statusSchema,
      successStatus: 200,
      isWork: false,
      async handle() {
        const { active, calibration, switching } = await embeddings.status();
        const { model } = deps.embedder;
        const shown = active ?? model;
        return {
          status: 200,
          body: {
            model: shown.id,
            dimensions: shown.dimensions,
            pinned: active !== null,
            configured: settings.configuredModel.id,
            repeat_similarity: repeatSimilarityOf({
              id: shown.id,
              repeatSimilarity: calibration.repeatSimilarity ?? undefined,
            }),
            calibrated_at: calibration.calibratedAt?.toISOString() ?? null,
            switch: switching && presentProgress(switching),
          },
        };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/embeddings/switch',
      operationId: 'switchEmbeddings',
      summary: 'Changes to another embedding model, in the background; `dry_run` tells what it takes.',
      body: z
        .strictObject({
          model: z
            .string()
            .regex(/^[\x21-\x7e]{1,200}$/, 'must be the name of a model')
            .optional()
            .meta({ description: 'Of the configured endpoint. Without it: what the settings ask for.' }),
          local: z.boolean().optional().meta({ description: 'The model that runs in the process.' }),
          dry_run: z.boolean().optional(),
        })
        .refine(({ model, local }) => model === undefined || local !== true, 'model and local exclude each other')
        .meta({ id: 'EmbeddingSwitchRequest' }),
      response: estimateSchema,
      successStatus: 200,
      isWork: true,
      async handle({ body, signal }) {
        const wanted = embeddings.wanted({ model: body.model, isLocal: body.local === true });
        const isDry = body.dry_run === true;
        const estimate = await refusing(async () => {
          if (!isDry) return embeddings.start(wanted, signal);
          await embeddings.open(wanted).release();
          return embeddings.estimate(wanted);
        });
        return { status: 200, body: presentEstimate(estimate, !isDry) };
      },
    }),

    route({
      method: 'DELETE',
      path: '/v1/embeddings/switch',
      operationId: 'cancelEmbeddingsSwitch',
      summary: 'Ends a switch that is under way and forgets what was made for it.',
      response: z.strictObject({ cancelled: z.string().nullable() }).meta({ id: 'EmbeddingSwitchCancelled' }),
      successStatus: 200,
      isWork: true,
      async handle() {
        return { status: 200, body: { cancelled: await embeddings.cancel() } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/embeddings/calibrate',
      operationId: 'calibrateEmbeddings',
      summary: 'Scores the embedder on pairs of texts that ship with engramd and sets from where on two are near.',
      body: z
        .strictObject({
          threshold: z.number().min(0, 'must be from 0 to 1').max(1, 'must be from 0 to 1').optional(),
          dry_run: z.boolean().optional(),
        })
        .meta({ id: 'CalibrationRequest' }),
      response: calibrationSchema,
      successStatus: 200,
      isWork: true,
      async handle({ body, signal }) {
        const embedder = await currentEmbedder(deps.embedder);
        const before = repeatSimilarityOf(embedder.model);
        const { model, pairs, scores, proposed } = await calibrate(embedder, signal);
        const set = body.dry_run === true ? null : (body.threshold ?? proposed.threshold);
        if (set !== null) {
          const active = await activeEmbeddingModel(db);
          await setCalibration(db, active?.id === model ? active : embedder.model, set);
        }
        return {
          status: 200,
          body: {
            model,
            pairs,
            scores: scores.map(({ threshold, recall, precision }) => ({ threshold, recall, precision })),
            proposed: proposed.threshold,
            before,
            set,
          },
        };
      },
    }),
  ];
}

const toUsd = (nanoUsd: number) => nanoUsd / 1_000_000_000;

function presentProgress(progress: SwitchProgress): z.input<typeof progressSchema> {
  return {
    model: progress.model.id,
    dimensions: progress.model.dimensions,
    started_at: progress.startedAt.toISOString(),
    working: progress.isWorkedOn,
    problem: progress.problem,
    texts: progress.texts,
    done: progress.done,
    tokens: progress.tokens,
    cost_usd: toUsd(progress.nanoUsd),
  };
}

function presentEstimate(estimate: SwitchEstimate, started: boolean): z.input<typeof estimateSchema> {
  const { from, to, texts, tokens, nanoUsd, seconds } = estimate;
  return { from, to, texts, tokens, cost_usd: nanoUsd === null ? null : toUsd(nanoUsd), seconds, started };
}
