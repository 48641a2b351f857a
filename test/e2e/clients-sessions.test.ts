// Logged-in users of a web server: express-session with its store behind the proxy, over real HTTP.
import { RedisStore } from 'connect-redis';
import session from 'express-session';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient } from 'redis';
import { describe, expect, test } from 'vitest';
import { allKinds, startStage } from './upstream-kinds.ts';

type WithSession = IncomingMessage & {
  session: { user?: string; count?: number; destroy(then: (error: unknown) => void): void };
};

describe.each(allKinds)('a session store on %s', (kind) => {
  test('sessions live across requests, apart from each other, and end at logout', async () => {
    await using stage = await startStage(kind);
    const client = createClient({ url: `redis://127.0.0.1:${stage.port}` });
    await client.connect();
    const store = new RedisStore({ client, prefix: 'sess:', ttl: 60 });
    await using web = await startWeb(store);

    const jar: string[] = [];
    const as = async (cookie: string | undefined, path: string): Promise<{ text: string; cookie: string | undefined }> => {
      const response = await fetch(web.url + path, { headers: cookie === undefined ? {} : { cookie } });
      return { text: await response.text(), cookie: response.headers.get('set-cookie')?.split(';')[0] };
    };
    for (const user of ['ada', 'bob']) jar.push((await as(undefined, `/login?user=${user}`)).cookie!);
    for (let i = 1; i <= 5; i++) {
      expect((await as(jar[0], '/me')).text).toBe(`ada ${i}`);
      expect((await as(jar[1], '/me')).text).toBe(`bob ${i}`);
    }
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => as(jar[i % 2], '/who')));
    answers.forEach(({ text }, i) => expect(text).toBe(i % 2 === 0 ? 'ada' : 'bob'));

    expect(await client.keys('sess:*')).toHaveLength(2);
    expect(await client.ttl((await client.keys('sess:*'))[0]!)).toBeGreaterThan(50);
    expect((await as(jar[0], '/logout')).text).toBe('bye');
    expect((await as(jar[0], '/who')).text).toBe('nobody');
    expect((await as(jar[1], '/who')).text).toBe('bob');
    client.destroy();
  });
});

async function startWeb(store: session.Store): Promise<AsyncDisposable & { url: string }> {
  const middleware = session({ store, secret: 'a secret of the test', resave: false, saveUninitialized: false });
  const server = createServer((req, res) => {
    // What express would give it.
    middleware(req as never, res as never, (error?: unknown) => {
      if (error === undefined) answer(req as WithSession, res);
      else res.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(req: WithSession, res: ServerResponse): void {
  const { pathname, searchParams } = new URL(req.url!, 'http://web');
  if (pathname === '/login') {
    req.session.user = searchParams.get('user')!;
    res.end('welcome');
  } else if (pathname === '/me') {
    req.session.count = (req.session.count ?? 0) + 1;
    res.end(`${req.session.user} ${req.session.count}`);
  } else if (pathname === '/logout') {
    req.session.destroy(() => res.end('bye'));
  } else {
    res.end(req.session.user ?? 'nobody');
  }
}
