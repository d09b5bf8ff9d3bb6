import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { addConfig } from './config.ts';
import { addDoctor } from './doctor.ts';
import { addMigrate } from './migrate.ts';
import { addRun } from './run.ts';

/** In the order of `engramd help`. */
export function addCommands(program: Command, context: CommandContext): void {
  addRun(program, context);
  addDoctor(program, context);
  addConfig(program, context);
  addMigrate(program, context);
}
