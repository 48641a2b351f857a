// A folder of resources files and a Millrace that reads it.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startProxy, type Proxy } from './proxy.ts';
import { RespError } from './resp.ts';
import { sleep } from './sleep.ts';

export class ResourceFolder implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'millrace-folder-'));
  readonly path = join(this.root, 'conf.d');

  constructor() {
    mkdirSync(this.path);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  start(): Promise<Proxy> {
    return startProxy({ route: null, settings: { resources: this.path } });
  }

  /** Warnings and errors so far, without the way to the folder. */
  wrong({ records }: Proxy): string[] {
    return records.filter(({ level }) => Number(level) >= 40).map(({ msg }) => String(msg).replaceAll(`${this.root}/`, ''));
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A file with a route that answers PING with a text of its own. */
export function routes(answer: string, id = 'r'): string {
  return JSON.stringify({
    stream_routes: [{ id, upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: answer }] } } }],
  });
}

export function upstreams(...ids: string[]): string {
  return JSON.stringify({ upstreams: ids.map((id) => ({ id, type: 'memory' })) });
}

export async function ping(proxy: Proxy): Promise<string> {
  const client = await proxy.connect();
  const reply = await client.command('PING');
  await client.close();
  return reply instanceof RespError ? reply.text.replace('ERR ', '') : String(reply);
}

export async function until(proxy: Proxy, answer: string): Promise<void> {
  await expect.poll(() => ping(proxy), { timeout: 8000, interval: 30 }).toBe(answer);
}

/** Of the upstreams. */
export async function ids(proxy: Proxy): Promise<string[]> {
  return (await proxy.call('GET', '/apisix/admin/configs')).body.upstreams.map(({ id }: { id: string }) => id).toSorted();
}

export async function ready(proxy: Proxy): Promise<number> {
  return (await proxy.call('GET', '/status/ready')).status;
}

/** Longer than it takes to be sure that a file is gone. */
export const settled = (): Promise<void> => sleep(1600);
