import { startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { STREAM, UNARY } from '../support/pingpong/frame.ts';
import { startPingPongProxy } from '../support/pingpong/proxy.ts';
import { startPingPongUpstream } from '../support/pingpong/upstream.ts';
import { startProxy } from '../support/proxy.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { encodeCommand, RespError } from '../support/resp.ts';
import { doorContract, type Operation } from './doors.ts';

doorContract({
  name: 'line',
  operations: { first: 'get', second: 'set' },
  hasErrors: true,
  async start() {
    const upstream = await startLineUpstream();
    const proxy = await startLineProxy({ nodes: [upstream.port] });
    return {
      proxy,
      use: (plugins) => proxy.route({ plugins }),
      received: async () => upstream.received.map((line) => line.split(' ')[0]!),
      async connect() {
        const client = await proxy.dial();
        return {
          get bytes() { return client.socket.bytesRead; },
          send: (operations) => client.send(operations.map((each) => (each === 'first' ? 'get a\n' : 'set a 1\n')).join('')),
          answers: async (count) => (await client.read(count)).map((line) => (line.startsWith('-') ? line : 'ok')),
          ended: () => client.untilEnded(),
          refusal: async () => (await client.read(1))[0]!,
        };
      },
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
      },
    };
  },
});

doorContract({
  name: 'redis',
  operations: { first: 'get', second: 'set' },
  hasErrors: true,
  async start() {
    const upstream = await startRecordingUpstream();
    const proxy = await startProxy({ upstream: upstream.port, route: {} });
    const route = { upstream: { nodes: { [`127.0.0.1:${upstream.port}`]: 1 } }, protocol: { name: 'redis' } };
    const bytes: Record<Operation, Buffer> = { first: encodeCommand(['GET', 'a']), second: encodeCommand(['SET', 'a', '1']) };
    return {
      proxy,
      use: (plugins) => proxy.put('/apisix/admin/stream_routes/1', { ...route, plugins }),
      received: async () => upstream.received.map((line) => line.split(' ')[0]!.toLowerCase()),
      async connect() {
        const client = await proxy.connect();
        return {
          get bytes() { return client.socket.bytesRead; },
          send: (operations) => client.send(Buffer.concat(operations.map((each) => bytes[each]))),
          answers: async (count) => (await client.read(count)).map((value) => (value instanceof RespError ? value.text : 'ok')),
          ended: async () => { await client.untilEnded(); },
          refusal: async () => (await client.read(1)).map((value) => (value instanceof RespError ? value.text : 'no error'))[0]!,
        };
      },
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
      },
    };
  },
});

doorContract({
  name: 'pingpong',
  operations: { first: 'unary', second: 'stream' },
  hasErrors: false,
  async start() {
    const upstream = await startPingPongUpstream();
    const proxy = await startPingPongProxy();
    await proxy.route('1', [upstream.port]);
    return {
      proxy,
      use: async (plugins) => { await proxy.route('1', [upstream.port], { plugins }); },
      received: async () => upstream.received.map(({ type }) => (type === UNARY ? 'unary' : 'stream')),
      async connect() {
        const client = await proxy.dial();
        return {
          get bytes() { return client.socket.bytesRead; },
          send: (operations) => client.send(...operations.map((each) => ({ type: each === 'first' ? UNARY : STREAM, body: 'x' }))),
          answers: async (count) => (await client.read(count)).map(() => 'ok'),
          ended: () => client.untilEnded(),
          refusal: async () => { await client.untilEnded(); return 'ended'; },
        };
      },
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
      },
    };
  },
});
