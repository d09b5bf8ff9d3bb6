import { isDeepStrictEqual } from 'node:util';
import type { Queryable } from '../../db/database.ts';
import { readModelAbilities, saveModelAbilities } from '../../store/model-abilities.ts';
import type { Log } from '../../telemetry/log.ts';
import { type Abilities, abilitiesOf, initialAbilities } from './abilities.ts';

export interface KnownAbilities {
  readonly abilities: Abilities;
  /** An answer has come to a request that used them: none of them will be refused. */
  readonly areProven: boolean;
}

export interface RememberedAbilities {
  /** Read from the database once. */
  current(): Promise<KnownAbilities>;
  /** An answer has come to a request that used these: the next request does, too. */
  answered(abilities: Abilities): void;
  /** Keeps what was found out for the next process. Never throws. */
  keep(): Promise<void>;
}

/** What one endpoint and model understands, found out once for all daemons of the database. */
export function rememberAbilities(deps: {
  readonly db: Queryable;
  readonly endpoint: string;
  readonly model: string;
  readonly log: Log;
}): RememberedAbilities {
  const { db, endpoint, model, log } = deps;
  let known: KnownAbilities | undefined;
  let reading: Promise<void> | undefined;
  let unkept: Abilities | undefined;

  async function read(): Promise<void> {
    try {
      const kept = abilitiesOf(await readModelAbilities(db, endpoint, model));
      known ??= kept
        ? { abilities: kept, areProven: true }
        : { abilities: initialAbilities(endpoint), areProven: false };
    } finally {
      reading = undefined;
    }
  }

  return {
    async current() {
      if (!known) {
        reading ??= read();
        await reading;
      }
      return known ?? { abilities: initialAbilities(endpoint), areProven: false };
    },
    answered(abilities) {
      if (known?.areProven && isDeepStrictEqual(known.abilities, abilities)) return;
      known = { abilities, areProven: true };
      unkept = abilities;
    },
    async keep() {
      if (!unkept) return;
      const abilities = unkept;
      unkept = undefined;
      try {
        await saveModelAbilities(db, endpoint, model, abilities);
      } catch (err) {
        // An answer is at hand and paid for: not worth losing over this. The next process finds it out again.
        log.warn({ err, model }, 'what the model understands could not be kept');
      }
    },
  };
}
