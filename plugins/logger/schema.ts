// Settings that all loggers share.
import { ProxyError } from '../../core/errors.ts';
import { checkExpression } from '../../core/expression.ts';
import type { JsonSchema } from '../../core/schema.ts';
import { compileFormat } from './format.ts';

export const formatSchema: JsonSchema = {
  type: 'object',
  description: 'Fields of a record; texts may contain $variables, objects may be nested 5 deep. '
    + 'Default: that of the plugin metadata, else a format that shows no keys and no values.',
};

export const batchProperties: Readonly<Record<string, JsonSchema>> = {
  name: { type: 'string', minLength: 1, maxLength: 128, description: 'Accepted; has no effect.' },
  batch_max_size: {
    type: 'integer', minimum: 1, maximum: 100_000, default: 1000,
    description: 'Records sent together; 1: each at once.',
  },
  inactive_timeout: {
    type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 5,
    description: 'Seconds without a new record after which those that wait are sent.',
  },
  buffer_duration: {
    type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 60,
    description: 'Seconds that a record waits at most before it is sent.',
  },
  max_retry_count: {
    type: 'integer', minimum: 0, maximum: 1000, default: 0,
    description: 'Further attempts before records are dropped.',
  },
  retry_delay: {
    type: 'number', minimum: 0, maximum: 3600, default: 1, description: 'Seconds before the next attempt.',
  },
};

const pendingSchema: JsonSchema = {
  type: 'integer', minimum: 1, maximum: 1_000_000,
  description: 'Records that may wait per worker; more are dropped and counted. Default 8192.',
};

export const pendingProperty = { max_pending_entries: pendingSchema };

export const loggerMetadataSchema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    log_format: { ...formatSchema, description: 'Format of all places without one of their own.' },
    ...pendingProperty,
  },
};

/** What is wrong with a format or a filter. */
export function checkLogging(conf: { readonly log_format?: unknown; readonly filter?: unknown }): string[] {
  const wrong: string[] = [];
  if (typeof conf.log_format === 'object' && conf.log_format !== null) {
    try {
      compileFormat({ ...conf.log_format });
    } catch (cause) {
      if (!(cause instanceof ProxyError)) throw cause;
      wrong.push(cause.message);
    }
  }
  if (Array.isArray(conf.filter) && conf.filter.length > 0) wrong.push(...checkExpression(conf.filter));
  return wrong;
}

/** What is wrong with the address of a sink that POSTs. It is shown to whoever reads the configuration, so no password may be in it. */
export function checkUri(uri: string, at = 'uri'): string[] {
  if (!URL.canParse(uri)) return [`${at}: expected an address`];
  const { username, password } = new URL(uri);
  return username === '' && password === '' ? [] : [`${at}: expected an address without user and password, which belong into auth_header`];
}

/** Of a sink that POSTs. */
export const httpProperties: Record<string, JsonSchema> = {
  uri: {
    type: 'string', pattern: '^https?://', maxLength: 2048, 'x-expected': 'http:// or https:// address',
    description: 'Address.',
  },
  auth_header: {
    type: 'string', maxLength: 4096, writeOnly: true, description: 'Value of the Authorization header.',
  },
  timeout: {
    type: 'number', exclusiveMinimum: 0, maximum: 3600, default: 3, description: 'Seconds for one POST.',
  },
  concat_method: {
    type: 'string', enum: ['json', 'new_line'], default: 'json',
    description: 'Records as a JSON array, or one a line.',
  },
};
