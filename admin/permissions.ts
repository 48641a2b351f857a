// What a key may do that was accepted: by its role, then by its scopes. A route that is not known here needs a key
// without scopes.
import type { FastifyRequest } from 'fastify';
import type { Kind } from '../core/config/resource.ts';
import type { AdminKey } from './keys.ts';
import { metricsPaths } from './pages.ts';
import { refuse, Refusal } from './refusal.ts';
import { idIn, resourceRows, type ResourceRow } from './resources.ts';
import { metricsScope } from './scopes.ts';

const reading = ['GET', 'HEAD'];
// Nothing of the configuration is in them.
const harmless = ['/openapi.json', '/plugins', '/plugins/list', '/plugins/:name', '/schema/'];

type Params = Readonly<Record<string, string | undefined>>;

/** A route of one kind: of all its resources, or of the one with `:id`. */
interface Place {
  readonly row: ResourceRow;
  readonly single: boolean;
}

export class Permissions {
  readonly #places = new Map<string, Place>();
  readonly #harmless: readonly string[];
  readonly #checks: readonly string[];
  readonly #callers = new WeakMap<FastifyRequest, AdminKey>();

  constructor(prefixes: readonly string[]) {
    for (const prefix of prefixes) {
      for (const row of resourceRows) {
        const path = `${prefix}/${row.path}`;
        this.#places.set(path, { row, single: false });
        if (row.all !== undefined) this.#places.set(`${prefix}/${row.all}`, { row, single: false });
        for (const url of [`${path}/:id`, `${path}/:id/*`, `${path}/:id/history`]) this.#places.set(url, { row, single: true });
      }
    }
    this.#harmless = prefixes.flatMap((prefix) => harmless.map((path) => prefix + path));
    this.#checks = prefixes.map((prefix) => `${prefix}/schema/validate/:kind`);
  }

  /** Throws a Refusal. `route` is empty for what none was found for, which is then answered so. */
  admit(request: FastifyRequest, caller: AdminKey, route: string): void {
    this.#callers.set(request, caller);
    if (caller.role === 'viewer' && !reading.includes(request.method)) {
      throw new Refusal(401, { error_msg: 'failed to check token', description: 'invalid method for role viewer' });
    }
    if (caller.scopes === null || route === '') return;
    const place = this.#places.get(route);
    if (place !== undefined) this.#admitTo(place, request, caller);
    else if (!this.#isOpenToScoped(request, caller, route)) throw outside(caller, 'this');
  }

  nameOf(request: FastifyRequest): string | undefined {
    return this.#callers.get(request)?.name;
  }

  /** For an id that the body says: throws a Refusal when the caller's key does not cover it. */
  refuseOther(request: FastifyRequest, kind: Kind, id: string): void {
    const caller = this.#callers.get(request);
    if (caller !== undefined && caller.scopes?.covers(kind, id) === false) throw outside(caller, `${kind}/${id}`);
  }

  /** Whether a list shows it to the caller. */
  shows(request: FastifyRequest, kind: Kind, id: string): boolean {
    return this.#callers.get(request)?.scopes?.covers(kind, id) ?? true;
  }

  #admitTo({ row, single }: Place, request: FastifyRequest, caller: AdminKey): void {
    const { kind } = row;
    const params = request.params as Params;
    if (single) {
      const id = idIn(row, params, params['id'] ?? '');
      if (id !== '') return this.refuseOther(request, kind, id);
    }
    // A list leaves out what is not covered; the id of a PUT stands in its body; that of a POST is drawn.
    const partly = reading.includes(request.method) || request.method === 'PUT';
    const may = partly ? caller.scopes?.touches(kind) : caller.scopes?.coversAll(kind);
    if (may !== true) throw outside(caller, kind);
  }

  #isOpenToScoped({ method, params }: FastifyRequest, { scopes }: AdminKey, route: string): boolean {
    if (metricsPaths.includes(route)) return scopes?.touches(metricsScope) === true;
    if (this.#checks.includes(route)) return scopes?.touches((params as Params)['kind'] as Kind) === true;
    return reading.includes(method)
      && this.#harmless.some((each) => (each.endsWith('/') ? route.startsWith(each) : route === each));
  }
}

function outside({ name, scopes }: AdminKey, what: string): Refusal {
  const needed = what === 'this' ? 'this needs a key without scopes' : `${what.slice(0, 128)} is outside the scopes of this key`;
  return refuse(403, `${needed}; the key ${name} has ${scopes?.texts.join(', ') ?? 'none'}`);
}
