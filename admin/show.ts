// A resource as the Admin API shows it.
import type { Resource } from '../core/config/resource.ts';
import type { Registry } from './registry.ts';
import { keyOf, type ResourceRow } from './resources.ts';
import { withoutSecrets } from './secrets.ts';

/** `{ key, value }`: the value with id and times, without secrets. */
export function show(row: ResourceRow, resource: Resource, registry: Registry): Record<string, unknown> {
  const { id, value, createTime, updateTime, expiresAt } = resource;
  return {
    key: keyOf(row, id),
    value: {
      ...withoutSecrets(row.kind, id, value, registry),
      ...(row.idMember === 'id' ? { id: id.slice(id.lastIndexOf('/') + 1) } : {}),
      ...(createTime === undefined ? {} : { create_time: createTime }),
      ...(updateTime === undefined ? {} : { update_time: updateTime }),
    },
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
  };
}

/** The same with the revisions that made and changed it. */
export function showWhole(row: ResourceRow, resource: Resource, registry: Registry): Record<string, unknown> {
  const { createdIndex, modifiedIndex } = resource;
  return {
    ...show(row, resource, registry), createdIndex, modifiedIndex,
    ...(resource.origin === 'file' ? { origin: 'file' } : {}),
  };
}
