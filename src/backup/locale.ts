import type { Queryable } from '../db/database.ts';
import type { Manifest } from './manifest.ts';

/** What a database tells letters by: what is upper and lower case to it, and with it which names are the same. */
export type DatabaseLocale = NonNullable<Manifest['locale']>;

export async function readLocale(session: Queryable): Promise<DatabaseLocale> {
  // Index pg_database_datname_index. The column has another name before 17.
  const { rows } = await session.query<DatabaseLocale>(
    `select pg_encoding_to_char(d.encoding) as encoding, d.datlocprovider as provider, d.datcollate as "collate",
       d.datctype as ctype, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale
     from pg_database d where d.datname = current_database()`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  return row;
}

/** Null: it takes the same letters for the same, or nobody can tell. Otherwise what both are, for a message. */
export async function localeDifference(
  session: Queryable,
  { locale }: Manifest,
): Promise<{ readonly there: string; readonly here: string } | null> {
  if (locale === undefined) return null;
  const [there, here] = [locale, await readLocale(session)].map(classificationOf) as [string, string];
  return there === here ? null : { there, here };
}

/** How texts are sorted is no part of it. */
function classificationOf({ encoding, provider, ctype, locale }: DatabaseLocale): string {
  switch (provider) {
    case 'c':
      return `lc_ctype ${ctype} (libc, ${encoding})`;
    case 'i':
      return `the ICU locale ${locale} with lc_ctype ${ctype} (${encoding})`;
    case 'b':
      return `the builtin locale ${locale} with lc_ctype ${ctype} (${encoding})`;
    default:
      return provider satisfies never;
  }
}

/** As it stands in `CREATE DATABASE`. No parameter may stand there. */
export function likeness({ encoding, provider, collate, ctype, locale }: DatabaseLocale): string {
  const common = `encoding ${literal(encoding)} lc_collate ${literal(collate)} lc_ctype ${literal(ctype)}`;
  switch (provider) {
    case 'c':
      return `${common} locale_provider libc`;
    case 'i':
      return `${common} locale_provider icu icu_locale ${literal(locale ?? '')}`;
    case 'b':
      return `${common} locale_provider builtin builtin_locale ${literal(locale ?? '')}`;
    default:
      return provider satisfies never;
  }
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
