import type { Command } from 'commander';
import { addBanks } from './banks.ts';
import { addCalibrate } from './calibrate.ts';
import { addChanges } from './changes.ts';
import type { CommandContext } from './command-context.ts';
import { addConfig } from './config.ts';
import { addConflicts } from './conflicts.ts';
import { addConsolidate } from './consolidate.ts';
import { addCost } from './cost.ts';
import { addDemo } from './demo.ts';
import { addDoctor } from './doctor.ts';
import { addEmbeddings } from './embeddings.ts';
import { addExplain } from './explain.ts';
import { addForget } from './forget.ts';
import { addIngest } from './ingest.ts';
import { addInvalidate } from './invalidate.ts';
import { addJobs } from './jobs.ts';
import { addMigrate } from './migrate.ts';
import { addRecall } from './recall.ts';
import { addRemember } from './remember.ts';
import { addRun } from './run.ts';
import { addService } from './service.ts';
import { addStatus } from './status.ts';

/** In the order of `engramd help`. */
export function addCommands(program: Command, context: CommandContext): void {
  addRun(program, context);
  addDemo(program, context);
  addRemember(program, context);
  addIngest(program, context);
  addRecall(program, context);
  addBanks(program, context);
  addConsolidate(program, context);
  addChanges(program, context);
  addConflicts(program, context);
  addExplain(program, context);
  addInvalidate(program, context);
  addForget(program, context);
  addStatus(program, context);
  addCost(program, context);
  addJobs(program, context);
  addEmbeddings(program, context);
  addCalibrate(program, context);
  addService(program, context);
  addDoctor(program, context);
  addConfig(program, context);
  addMigrate(program, context);
}
