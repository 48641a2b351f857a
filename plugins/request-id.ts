// An id per request, as the variable `request_id`: made when somebody reads it, and the same for everybody who does.
import { randomBytes, randomInt } from 'node:crypto';
import { definePlugin } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';

interface Conf {
  readonly algorithm: 'uuid' | 'nanoid' | 'counter' | 'range_id';
  readonly range_id?: { readonly char_set?: string; readonly length?: number };
}

const forHttp = 'Accepted for configurations written for HTTP; has no effect on streams.';
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export default definePlugin<Conf>({
  name: 'request-id',
  version: '1.0.0',
  priority: 12_015,
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      algorithm: {
        type: 'string', enum: ['uuid', 'nanoid', 'counter', 'range_id'], default: 'uuid',
        description: '`uuid`: version 7, which sorts by time. `nanoid`: 21 letters. `counter`: a number behind a random word of each worker. '
          + '`range_id`: letters of your own.',
      },
      range_id: {
        type: 'object', additionalProperties: false, description: 'Of `range_id`.',
        properties: {
          char_set: { type: 'string', minLength: 6, maxLength: 256, description: 'Letters; default A-Z, a-z, 0-9.' },
          length: { type: 'integer', minimum: 6, maximum: 256, description: 'How many; default 16.' },
        },
      },
      header_name: { type: 'string', maxLength: 256, description: forHttp },
      include_in_response: { type: 'boolean', description: forHttp },
    },
  },
  setup(conf, context) {
    const next = generator(conf);
    const ids = new WeakMap<Request, string>();
    let made = 0;
    context.provide('request_id', (request) => {
      let id = ids.get(request);
      if (id === undefined) {
        made++;
        id = next();
        ids.set(request, id);
      }
      return id;
    });
    return { status: () => ({ made }) };
  },
});

function generator({ algorithm, range_id: range }: Conf): () => string {
  switch (algorithm) {
    case 'uuid': return uuid;
    case 'nanoid': return randomText(`${letters}_-`, 21);
    case 'range_id': return randomText(range?.char_set ?? letters, range?.length ?? 16);
    case 'counter': return counter();
  }
}

/** RFC 9562, 5.7: 48 bits of time, then random ones, but for version and variant. */
function uuid(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function randomText(set: string, length: number): () => string {
  const all = Array.from(set);
  return () => Array.from({ length }, () => all[randomInt(all.length)]).join('');
}

function counter(): () => string {
  const word = randomBytes(4).toString('hex');
  let last = 0;
  return () => `${word}-${++last}`;
}
