import type { UpstreamValue } from './schemas/upstream.ts';
import type { Config } from './source.ts';

/** The upstreams of a configuration that have `service_name` instead of nodes. */
export function serviceNames({ resources }: Config): UpstreamValue[] {
  const found: UpstreamValue[] = [];
  const look = (upstream: UpstreamValue | undefined): void => {
    if (upstream?.service_name !== undefined) found.push(upstream);
  };
  for (const { value } of resources.upstreams.values()) look(value);
  for (const { value } of resources.services.values()) look((value as { upstream?: UpstreamValue }).upstream);
  for (const { value } of resources.stream_routes.values()) look((value as { upstream?: UpstreamValue }).upstream);
  return found;
}
