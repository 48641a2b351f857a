// What really runs: a route with everything it takes from elsewhere, and what was written but could not be put to use.
import type { FastifyInstance } from 'fastify';
import { effectiveRoute, globalPlugins } from '../core/config/effective.ts';
import type { Value } from '../core/config/resource.ts';
import type { Config, Store } from '../core/config/source.ts';
import type { Plane, Rejection } from '../core/plane.ts';
import { notFound } from './refusal.ts';
import type { Registry } from './registry.ts';
import { withoutSecrets } from './secrets.ts';

/** What is not in use although it was written. */
export interface Pending {
  /** The last good version of these goes on. */
  readonly rejections: readonly Rejection[];
  /** `file:line:column: path: …`; null: there is no resources file. */
  readonly file: { readonly problems: readonly string[]; readonly warnings: readonly string[] } | null;
}

export interface EffectiveRoutesOptions {
  readonly config: { readonly config: Config };
  readonly store: Store;
  readonly plane: Pick<Plane, 'status'>;
  readonly registry: Registry;
  readonly pending: () => Promise<Pending>;
}

export function addEffectiveRoutes(server: FastifyInstance, prefix: string, options: EffectiveRoutesOptions): void {
  const { config, store, plane, registry, pending } = options;
  server.get(`${prefix}/configs/status`, async () => {
    const [workers, { rejections, file }] = await Promise.all([plane.status(), pending()]);
    const { revision } = config.config;
    return {
      revision, store: { revision: store.config.revision },
      workers: workers.map((each) => ({ worker: each.worker, revision: each.revision, current: each.revision === revision })),
      not_in_use: rejections.map(({ kind, id, code, text }) => ({ kind, id, code, error: text })),
      file,
    };
  });
  server.get<{ Params: { id: string } }>(`${prefix}/stream_routes/:id/effective`, async ({ params: { id } }) => {
    const { resources } = config.config;
    const route = resources.stream_routes.get(id);
    if (route === undefined) throw notFound;
    const value = effectiveRoute(route.value, (kind, name) => resources[kind].get(name));
    const shown = (each: unknown): Value => withoutSecrets('stream_routes', id, each as Value, registry);
    return {
      key: `/apisix/stream_routes/${id}`, origin: route.origin, value: { ...shown(value), id },
      global_plugins: shown({ plugins: globalPlugins(config.config) })['plugins'],
    };
  });
}
