import { z } from 'zod';

/** What can stand in a path, a log line and a file name without being mistaken for something else. */
export const bankNameSchema = z
  .string()
  .min(1, 'must not be empty')
  .max(128, 'must be at most 128 characters long')
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N}\p{M}._:@-]*$/u,
    'must start with a letter or digit and hold only letters, digits and . _ : @ -',
  )
  // Two spellings of one name would be two banks.
  .refine((name) => name === name.normalize('NFC'), 'must be in Unicode normal form NFC')
  .meta({ id: 'BankName', description: 'Name of a bank, the boundary that no memory and no query crosses.' });
