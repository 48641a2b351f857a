// What all stores answer the same way: reading, and changes of one resource as changes of several.
import type { Kind, Resource, Value } from './resource.ts';
import { Listeners, type Committed, type Config, type Write, type Written } from './source.ts';
import type { AuditRecord } from './audit.ts';

export abstract class WritableConfig {
  protected readonly listeners = new Listeners();

  abstract get config(): Config;
  abstract write(writes: readonly Write[], record?: AuditRecord): Promise<Committed>;

  onChange(listener: (config: Config) => void): () => void {
    return this.listeners.add(listener);
  }

  get(kind: Kind, id: string): Resource | undefined {
    return this.config.resources[kind].get(id);
  }

  list(kind: Kind): readonly Resource[] {
    return [...this.config.resources[kind].values()].toSorted((a, b) => a.createdIndex - b.createdIndex);
  }

  async put(kind: Kind, id: string, value: Value, revision?: number): Promise<Written> {
    const old = this.get(kind, id);
    const done = await this.write([{ kind, id, value, ...(revision === undefined ? {} : { revision }) }]);
    if (done.outcome === 'conflict') return { outcome: 'conflict', resource: done.resource };
    return { outcome: old === undefined ? 'created' : 'replaced', resource: this.get(kind, id)! };
  }

  async delete(kind: Kind, id: string, revision?: number): Promise<'deleted' | 'absent' | 'conflict'> {
    if (this.get(kind, id) === undefined) return 'absent';
    const done = await this.write([{ kind, id, value: null, ...(revision === undefined ? {} : { revision }) }]);
    return done.outcome === 'conflict' ? 'conflict' : 'deleted';
  }
}
