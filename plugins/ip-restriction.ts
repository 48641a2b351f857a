// Lets only some client addresses in, or keeps some out.
import { BlockList, isIPv6 } from 'node:net';
import { ProxyError } from '../core/errors.ts';
import { definePlugin } from '../core/plugin.ts';
import { isAddressOrCidr, type JsonSchema } from '../core/schema.ts';

/** The address of a client that came by a Unix socket. */
const unixClient = 'unix:';

interface Conf {
  readonly whitelist?: readonly string[];
  readonly blacklist?: readonly string[];
  readonly message?: string;
}

const addresses = (description: string): JsonSchema => ({
  type: 'array', minItems: 1, maxItems: 10_000, description,
  items: { type: 'string', minLength: 1, maxLength: 64, 'x-expected': 'IPv4 or IPv6 address, CIDR or unix:' },
});

export default definePlugin<Conf>({
  name: 'ip-restriction',
  version: '1.0.0',
  priority: 3000,
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      whitelist: addresses('Addresses and networks (CIDR) that are let in; no others are. `unix:` stands for clients of Unix sockets.'),
      blacklist: addresses('Addresses and networks (CIDR) that are kept out; all others are let in. `unix:` as above.'),
      message: {
        type: 'string', minLength: 1, maxLength: 1024,
        description: 'Text of the error, where the protocol has one; default `Your IP address is not allowed`.',
      },
      response_code: {
        type: 'integer', enum: [403, 404],
        description: 'Accepted for configurations written for HTTP; has no effect on streams.',
      },
    },
  },
  check({ whitelist, blacklist }) {
    if ((whitelist === undefined) === (blacklist === undefined)) {
      const got = whitelist === undefined ? 'neither' : 'both';
      return ['failed to check the configuration of stream plugin [ip-restriction]: '
        + `value should match only one schema, but matches ${whitelist === undefined ? 'none' : 'both'}: `
        + `expected whitelist or blacklist, got ${got}`];
    }
    return [...whitelist ?? [], ...blacklist ?? []].filter((each) => each !== unixClient && !isAddressOrCidr(each))
      .map((each) => `invalid ip address: ${each}`);
  },
  setup({ whitelist, blacklist, message }, context) {
    const listed = listOf(whitelist ?? blacklist ?? []);
    const wanted = whitelist !== undefined;
    const refused = context.counter('ip_restriction_refused_total', 'Connections that ip-restriction refused.');
    return {
      connect(session) {
        if (listed(session.remoteAddress) === wanted) return;
        refused.add();
        throw new ProxyError('DENIED', message ?? 'Your IP address is not allowed');
      },
    };
  },
});

function listOf(networks: readonly string[]): (address: string) => boolean {
  // One per family: Node takes IPv4 addresses for members of IPv6 networks that hold ::ffff:0:0/96.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const text of networks) {
    if (text === unixClient) continue;
    const [address = '', bits] = text.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) lists[family].addAddress(address, family);
    else lists[family].addSubnet(address, Number(bits), family);
  }
  const unix = networks.includes(unixClient);
  return (address) => {
    if (address === unixClient) return unix;
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    return lists[family].check(address, family);
  };
}
