// The Admin API's own keys in the settings: their schema, and what it cannot say.
import { createHash } from 'node:crypto';
import { isKind, kindNames } from './config/resource.ts';
import { nearest, problem, show, type At, type Problem } from './problem.ts';
import type { JsonSchema } from './schema.ts';

/** One of `admin.keys`. */
export interface AdminKeyEntry {
  readonly name: string;
  /** One of the two. */
  readonly key?: string;
  readonly key_sha256?: string;
  readonly role: 'admin' | 'viewer';
  readonly scopes?: readonly string[];
  readonly expires?: string;
}

export const adminKeysSchema: JsonSchema = {
  type: 'array', maxItems: 1000, default: [],
  description: 'Further keys, each with a name and rights of its own. The one of `key` or `key_file` is named `admin`.',
  items: {
    type: 'object', additionalProperties: false, required: ['name', 'role'], description: 'One key.',
    properties: {
      name: {
        type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$', 'x-expected': '1 to 64 letters, digits, -, _ or .',
        description: 'Who it is for, as the audit log shows it.',
      },
      key: { type: 'string', minLength: 16, maxLength: 1024, writeOnly: true, description: 'The key, or `key_sha256`.' },
      key_sha256: {
        type: 'string', pattern: '^[0-9A-Fa-f]{64}$', 'x-expected': '64 hex digits', writeOnly: true,
        description: 'SHA-256 of the key as hex, so that the file holds no key.',
      },
      role: { type: 'string', enum: ['admin', 'viewer'], description: '`viewer` reads only.' },
      scopes: {
        type: 'array', minItems: 1, maxItems: 100,
        items: {
          type: 'string', pattern: '^[a-z_]{1,32}(/[A-Za-z0-9._*/-]{1,128})?$', 'x-expected': 'kind or kind/id, with * in the id for any text',
        },
        description: 'What it may touch: a kind such as `stream_routes`, ids of a kind such as `upstreams/cache-*`, or `metrics`. Default: everything.',
      },
      expires: {
        type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d)$',
        'x-expected': 'time such as 2027-01-31T00:00:00Z', description: 'Time from which on it is not accepted.',
      },
    },
  },
};

interface AdminKeys {
  readonly key?: string;
  readonly keys: readonly AdminKeyEntry[];
}

/** Wrong keys of the right shape. No text repeats a key. */
export function wrongAdminKeys({ key, keys }: AdminKeys): Problem[] {
  const names = new Map([['admin', key === undefined ? 'the key of key_file' : 'admin.key']]);
  const digests = new Map(key === undefined ? [] : [[digestOf(key), 'admin.key']]);
  return keys.flatMap((entry, index) => {
    const at = ['admin', 'keys', index] as const;
    const problems = [...wrongEntry(entry, at)];
    const place = `admin.keys[${index}]`;
    const sameName = names.get(entry.name);
    if (sameName !== undefined) problems.push(problem([...at, 'name'], `a name that ${sameName} does not have`, show(entry.name)));
    else names.set(entry.name, place);
    const digest = entryDigest(entry);
    const sameKey = digest === '' ? undefined : digests.get(digest);
    const member = entry.key === undefined ? 'key_sha256' : 'key';
    if (sameKey !== undefined) problems.push(problem([...at, member], `a key of its own`, `that of ${sameKey}`));
    else digests.set(digest, place);
    return problems;
  });
}

function wrongEntry({ key, key_sha256: hash, scopes = [], expires }: AdminKeyEntry, at: At): Problem[] {
  const problems: Problem[] = [];
  if ((key === undefined) === (hash === undefined)) {
    problems.push(problem(at, 'either key or key_sha256', key === undefined ? 'none of them' : 'both'));
  }
  if (expires !== undefined && Number.isNaN(Date.parse(expires))) {
    problems.push(problem([...at, 'expires'], 'a time that there is', show(expires)));
  }
  for (const [index, scope] of scopes.entries()) {
    const [kind = '', id] = scope.split('/');
    if (isKind(kind) || (kind === 'metrics' && id === undefined)) continue;
    const known = [...kindNames, 'metrics'];
    const meant = nearest(kind, known);
    const expected = meant === undefined ? `one of ${known.join(', ')}` : `a kind of resources such as ${meant}`;
    problems.push(problem([...at, 'scopes', index], expected, show(scope)));
  }
  return problems;
}

/** Hex; empty: it has neither key nor digest. */
export function entryDigest({ key, key_sha256: hash = '' }: AdminKeyEntry): string {
  return key === undefined ? hash.toLowerCase() : digestOf(key);
}

/** Hex of the SHA-256. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
