import type { Normalisation } from '../frame.ts';

/** A command in the inline syntax (with quotes and escapes), and how to make its reply comparable. */
export type Step = string | readonly [command: string, how: Normalisation];

/** Run in order on an empty server, once in RESP2 and once in RESP3. */
export type Script = readonly Step[];
