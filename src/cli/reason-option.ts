import { InvalidArgumentError, Option } from 'commander';
import { maxReasonLength } from '../daemon/control/protocol.ts';

/** `--reason`, wherever a person may say why. One that is too long is a usage error (exit 2) with the option's name. */
export function reasonOption(): Option {
  return new Option('--reason <text>', 'is logged by the daemon').argParser((text) => {
    if (text.length > maxReasonLength)
      throw new InvalidArgumentError(`expected at most ${maxReasonLength} characters, got ${text.length}`);
    return text;
  });
}
