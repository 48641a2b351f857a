// `discovery_type: file`: services in a YAML or JSON file, which is read again when it changes:
//
//   cache:    { "10.0.0.1:6379": 1, "10.0.0.2:6379": 1 }
//   sessions: [{ host: 10.0.0.3, port: 6379, weight: 1 }]
//
// Polled: that also sees mounted folders whose links are exchanged, as Kubernetes does.
import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { largestDocument, readDocument } from '../config/document.ts';
import { unrefTimer, type Schedule } from '../upstream/schedule.ts';
import type { Discovery, Service } from './discovery.ts';

interface Watch {
  readonly service: Service;
  readonly told: (nodes: unknown) => void;
  readonly failed: (cause: unknown) => void;
}

const pollMs = 500;

export class FileDiscovery implements Discovery {
  readonly #path: string;
  readonly #schedule: Schedule;
  readonly #watches = new Set<Watch>();
  #services: Readonly<Record<string, unknown>> | null = null;
  #error: Error | null = null;
  #seen = '';
  #cancel: () => void = () => {};
  #polling = false;
  #closed = false;

  constructor(path: string, schedule: Schedule = unrefTimer) {
    this.#path = path;
    this.#schedule = schedule;
  }

  watch(service: Service, told: Watch['told'], failed: Watch['failed']): { close(): void } {
    const watch = { service, told, failed };
    this.#watches.add(watch);
    if (this.#seen !== '') queueMicrotask(() => { if (this.#watches.has(watch)) this.#tell(watch); });
    if (!this.#polling) {
      this.#polling = true;
      void this.#poll();
    }
    return { close: () => this.#watches.delete(watch) };
  }

  dump(): unknown {
    return this.#services;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#watches.clear();
  }

  async #poll(): Promise<void> {
    const changed = await this.#read();
    if (this.#closed) return;
    if (changed) for (const watch of this.#watches) this.#tell(watch);
    this.#cancel = this.#schedule(pollMs, () => void this.#poll());
  }

  /** Whether there is anything new. Half a file or none leaves the last good one in use. */
  async #read(): Promise<boolean> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#path);
      const seen = `${mtimeMs} ${size} ${ino}`;
      if (seen === this.#seen) return false;
      if (size > largestDocument) throw new Error(`expected at most ${largestDocument} bytes, got ${size}`);
      const format = extname(this.#path).toLowerCase() === '.json' ? 'json' : 'yaml';
      const text = await readFile(this.#path, 'utf8');
      this.#seen = seen;
      const { value, problems } = readDocument(text, format, process.env);
      if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('expected services by name');
      this.#services = value as Readonly<Record<string, unknown>>;
      this.#error = null;
      return true;
    } catch (cause) {
      const error = new Error(`${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`);
      const news = this.#error?.message !== error.message;
      this.#error = error;
      if (this.#seen === '') this.#seen = 'none';
      return news;
    }
  }

  #tell({ service, told, failed }: Watch): void {
    if (this.#error !== null) return failed(this.#error);
    const nodes = this.#services !== null && Object.hasOwn(this.#services, service.name) ? this.#services[service.name] : undefined;
    if (nodes === undefined) failed(new Error(`${this.#path}: expected a service "${service.name}", got none of that name`));
    else told(nodes);
  }
}
