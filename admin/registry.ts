// What the Admin API must know of plugins and protocols; the composition root fills it in.
import type { Plugin } from '../core/plugin.ts';
import type { Protocol } from '../core/protocol.ts';

export type PluginEntry = Pick<Plugin, 'name' | 'version' | 'priority' | 'schema' | 'metadataSchema' | 'secretManager'>;
export type ProtocolEntry = Pick<Protocol, 'name' | 'schema'>;

/** Asked anew at every request: plugins come, change and go. */
export interface Registry {
  plugins(): Iterable<PluginEntry>;
  protocols(): Iterable<ProtocolEntry>;
}

export function findByName<Entry extends { readonly name: string }>(
  entries: Iterable<Entry>, name: string,
): Entry | undefined {
  for (const entry of entries) if (entry.name === name) return entry;
  return undefined;
}
