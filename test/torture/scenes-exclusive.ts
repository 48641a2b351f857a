// Commands that need a connection of their own for a while, or change what the connection is.
import type { Value } from '../support/resp.ts';
import type { TortureClient } from './client.ts';
import { KeyModel, valueOf } from './keys.ts';
import { getStep, setStep, slotOf } from './scenes-shared.ts';
import { isOk, same, step, text, vital, type Step } from './step.ts';

/** A plugin of the run answered instead of the server: the server never saw the command. */
const byPlugin = /injected for|denied by|rate limit|plugin/;

interface Queued { readonly inner: Step }

/** A command inside MULTI: queued, or refused by a plugin and then not part of EXEC's answer. */
function queuedStep(inner: Step, queue: Queued[]): Step {
  return {
    ...inner,
    name: `(queued) ${inner.name}`,
    expected: 'QUEUED',
    right: (reply) => {
      if (text(reply) !== 'QUEUED') return false;
      queue.push({ inner });
      return true;
    },
    failed: (message) => {
      inner.failed(message);
      return byPlugin.test(message) ? 'go on' : 'leave';
    },
  };
}

function execStep(queue: readonly Queued[]): Step {
  const lost = (message: string): void => { for (const { inner } of queue) inner.failed(message); };
  return vital(['EXEC'], (reply) => Array.isArray(reply) && reply.length === queue.length
    && queue.every(({ inner }, i) => inner.right(reply[i] as Value)), { expected: 'the replies of what was queued', failed: lost });
}

function someSteps(client: TortureClient): Step[] {
  return Array.from({ length: client.dice.between(0, 5) }, () => {
    const slot = slotOf(client);
    return client.database === slot.database && client.dice.chance(0.5) ? setStep(client, slot, client.dice.between(0, 3000)) : getStep(client, slot);
  });
}

export function transaction(client: TortureClient): Step[] {
  const queue: Queued[] = [];
  return [
    vital(['MULTI'], isOk, { expected: 'OK' }),
    ...someSteps(client).map((each) => queuedStep(each, queue)),
    execStep(queue),
  ];
}

export function discard(client: TortureClient): Step[] {
  const slot = slotOf(client);
  const value = valueOf(client.name('d'), 30);
  const refused = (message: string): 'go on' | 'leave' => (byPlugin.test(message) ? 'go on' : 'leave');
  return [
    vital(['MULTI'], isOk, { expected: 'OK' }),
    step(['SET', slot.key, value], (reply) => text(reply) === 'QUEUED', { expected: 'QUEUED', failed: refused }),
    vital(['DISCARD'], isOk, { expected: 'OK' }),
    getStep(client, slot),
  ];
}

/** EXEC answers null exactly when the watched key was written in between, which only this client does. */
export function watch(client: TortureClient): Step[] {
  const slot = new KeyModel(client.name('g'), client.database);
  const other = valueOf(client.name('x'), 20);
  const touch = client.dice.chance(0.5);
  let touched: boolean | null = false;
  const write = setStep(client, slot, 50);
  const queue: Queued[] = [];
  const inner = step(['SET', slot.key, other], (reply) => {
    if (isOk(reply)) slot.current = other;
    return isOk(reply);
  }, { failed: () => slot.unknown(other) });
  const exec = execStep(queue);
  return [
    vital(['WATCH', slot.key], isOk, { expected: 'OK' }),
    ...(touch ? [{
      ...write,
      right: (reply: Value) => { if (!write.right(reply)) return false; touched = true; return true; },
      failed: (message: string) => { touched = byPlugin.test(message) ? false : null; return write.failed(message); },
    }] : []),
    vital(['MULTI'], isOk, { expected: 'OK' }),
    queuedStep(inner, queue),
    {
      ...exec,
      expected: 'null if the watched key was written, else what was queued',
      right: (reply) => (reply === null ? touched !== false : touched !== true && exec.right(reply)),
    },
    getStep(client, slot),
    step(['DEL', slot.key], (reply) => reply === 0 || reply === 1),
  ];
}

/** LPUSH and BLPOP of the same client: what was pushed is popped at once. */
export function listPair(client: TortureClient): Step[] {
  const key = client.name('l');
  const value = valueOf(client.name('p'), client.dice.between(0, 5000));
  let sure = true;
  return [
    step(['LPUSH', key, value], (reply) => reply === 1, { expected: '1', failed: () => { sure = false; } }),
    // Under way for longer than the route's timeout only if the server stood still.
    vital(['BLPOP', key, '0.5'], (reply) => popped(reply, key, value) || (!sure && reply === null), { expected: `[${key}, …]` }),
  ];
}

/** BLPOP that waits for a push on another connection. */
export function blocked(client: TortureClient): Step[] {
  const key = client.name('b');
  const value = valueOf(key, 60);
  setTimeout(() => void client.world.helper('LPUSH', key, value), client.dice.between(0, 60));
  return [vital(['BLPOP', key, '1'], (reply) => reply === null || popped(reply, key, value), { expected: `[${key}, …] or null` })];
}

function popped(reply: Value, key: string, value: Buffer): boolean {
  return Array.isArray(reply) && reply.length === 2 && text(reply[0]) === key && same(reply[1] as Value, value);
}

export function select(client: TortureClient): Step[] {
  client.database = client.database !== 0 && client.dice.chance(0.7) ? 0 : client.dice.between(0, 3);
  return [vital(['SELECT', String(client.database)], isOk, { expected: 'OK' })];
}

export function hello(client: TortureClient): Step[] {
  // Messages on their way would come in either form.
  if (client.subscribing) return [];
  const version = client.dice.chance(0.5) ? 3 : 2;
  client.resp = version;
  return [vital(['HELLO', String(version)], (reply) => {
    const pairs = reply instanceof Map ? [...reply].flat() : reply;
    if (!Array.isArray(pairs) || (version === 3) !== (reply instanceof Map)) return false;
    return pairs[pairs.findIndex((each) => text(each) === 'proto') + 1] === version;
  }, { expected: `proto ${version}` })];
}

export function replyOff(client: TortureClient): Step[] {
  const slot = new KeyModel(client.name('q'), client.database);
  const value = valueOf(client.name('s'), client.dice.between(0, 3000));
  slot.unknown(value);
  const hidden = (...args: (string | Buffer)[]): Step => step(args, () => false, { reply: null });
  return [
    hidden('CLIENT', 'REPLY', 'OFF'),
    hidden('SET', slot.key, value),
    hidden('GET', slot.key),
    ...(client.dice.chance(0.3) ? [hidden('MULTI'), hidden('GET', slot.key), hidden('EXEC')] : []),
    hidden('ECHO', client.name('hidden')),
    vital(['CLIENT', 'REPLY', 'ON'], isOk, { expected: 'OK' }),
    getStep(client, slot),
    step(['DEL', slot.key], (reply) => reply === 0 || reply === 1),
  ];
}

export function replySkip(client: TortureClient): Step[] {
  const word = client.name('y');
  return [
    step(['CLIENT', 'REPLY', 'SKIP'], () => false, { reply: null }),
    step(['ECHO', client.name('skipped')], () => false, { reply: null }),
    // If SKIP itself was refused, this is where it shows.
    vital(['ECHO', word], (reply) => text(reply) === word, { expected: word }),
  ];
}

/** Messages of a channel come in order, and none between SUBSCRIBE's confirmation and UNSUBSCRIBE is lost. */
export function subscribe(client: TortureClient): Step[] {
  if (client.subscribing) return [];
  client.subscribing = true;
  const channel = client.name('ch');
  const messages = client.dice.between(1, 8);
  const reply = client.resp === 3 ? 'push' : 'value';
  client.waits = client.resp === 2;
  let published = 0;
  let delivered = 0;
  const confirmed = (kind: string, total: number) => (value: Value): boolean => Array.isArray(value)
    && text(value[0]) === kind && text(value[1]) === channel && value[2] === total;
  const finish = (): void => {
    client.insert([vital(['UNSUBSCRIBE', channel], (value) => {
      if (!confirmed('unsubscribe', 0)(value)) return false;
      client.subscription = null;
      client.subscribing = false;
      client.waits = false;
      return true;
    }, { reply, expected: `unsubscribe ${channel} 0` })]);
  };
  const publish = async (): Promise<void> => {
    for (let i = 1; i <= messages; i++) {
      const receivers = await client.world.helper('PUBLISH', channel, `${channel}#${i}`);
      if (receivers === 1) published++;
    }
    if (published === 0) { finish(); return; }
    // The last one may still be on its way; after that, what was not delivered is lost.
    for (let tries = 0; delivered < published && tries < 200; tries++) await new Promise((resolve) => { setTimeout(resolve, 25); });
    if (client.subscription?.channel === channel && delivered < published) client.lostMessages(channel, delivered, published);
    finish();
  };
  return [vital(['SUBSCRIBE', channel], (value) => {
    if (!confirmed('subscribe', 1)(value)) return false;
    client.subscription = { channel, last: 0, onMessage: () => { delivered++; } };
    void publish();
    return true;
  }, { reply, expected: `subscribe ${channel} 1` })];
}
