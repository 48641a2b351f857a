// Certificates with their keys, and for whom they are: from resources of the kind `ssls`, or from the settings' files.
import type { Resource } from '../config/resource.ts';
import type { SslValue, TlsVersion } from '../config/schemas/ssl.ts';
import { revocationsIn } from './pem.ts';

export interface Pair {
  /** PEM; the certificate with its chain. */
  readonly cert: string;
  readonly key: string;
}

export interface ClientRules {
  readonly ca: string;
  readonly depth: number;
  /** PEM, one list each; null: nobody asks whether a certificate was revoked. */
  readonly revoked: readonly string[] | null;
}

/** Plain data: it is posted to workers. Never logged. */
export interface Credential {
  /** Where it stands, for logs: `ssls/1`, `listeners[0].tls`. */
  readonly source: string;
  /** Lower case; `*.` in front: any host; `*`: any name; empty: whoever nothing else is for. */
  readonly names: readonly string[];
  /** One per kind of key. */
  readonly pairs: readonly Pair[];
  /** Clients must show a certificate. */
  readonly client: ClientRules | null;
  /** Null: all that the listener takes. */
  readonly versions: readonly TlsVersion[] | null;
  readonly ciphers: string | null;
}

/** As the reference has it: one certificate between the client's and an authority. */
const defaultDepth = 1;

export function credentialOf(id: string, ssl: SslValue): Credential {
  return {
    source: `ssls/${id}`,
    names: [...(ssl.sni === undefined ? [] : [ssl.sni]), ...(ssl.snis ?? [])].map((name) => name.toLowerCase()),
    pairs: pairsOf(ssl),
    client: ssl.client === undefined ? null : clientRulesOf(ssl.client),
    versions: ssl.ssl_protocols ?? null,
    ciphers: ssl.ciphers ?? null,
  };
}

function clientRulesOf({ ca, depth = defaultDepth, crl }: NonNullable<SslValue['client']>): ClientRules {
  return { ca, depth, revoked: crl === undefined ? null : revocationsIn(crl) };
}

export function pairsOf({ cert, key, certs, keys }: SslValue): Pair[] {
  return [{ cert, key }, ...(certs ?? []).map((each, index) => ({ cert: each, key: keys?.[index] ?? '' }))];
}

/** Server certificates of a configuration, by name. Of several for one name the oldest is used. */
export class CredentialBook {
  readonly #named = new Map<string, Credential>();

  constructor(credentials: Iterable<Credential>) {
    for (const credential of credentials) {
      for (const name of credential.names) if (!this.#named.has(name)) this.#named.set(name, credential);
    }
  }

  /** A resource that did not change stays the same credential, so that what was made of it is kept. */
  static of(ssls: ReadonlyMap<string, Resource>): CredentialBook {
    return new CredentialBook([...ssls.values()].filter(isServed).map((resource) => {
      let credential = made.get(resource);
      if (credential === undefined) made.set(resource, credential = credentialOf(resource.id, resource.value as unknown as SslValue));
      return credential;
    }));
  }

  get(name: string): Credential | undefined {
    return this.#named.get(name);
  }
}

const made = new WeakMap<Resource, Credential>();

function isServed({ value }: Resource): boolean {
  return value['status'] !== 0 && (value['type'] ?? 'server') === 'server';
}

/**
 * The exact name, the longest `*.`, `*`, the one for whoever nothing else is for; of equal ones that of the first book.
 * No name (null): the last only.
 */
export function findCredential(books: readonly CredentialBook[], name: string | null): Credential | undefined {
  for (const each of namesFor(name)) {
    for (const book of books) {
      const found = book.get(each);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function* namesFor(name: string | null): Generator<string> {
  if (name !== null) {
    yield name;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) yield `*${name.slice(dot)}`;
    yield '*';
  }
  yield '';
}
