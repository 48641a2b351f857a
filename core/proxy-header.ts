// The PROXY protocol (haproxy.org/download/2.9/doc/proxy-protocol.txt), versions 1 and 2: who a client is that comes
// through a balancer, said before its first byte.
import type { Socket } from 'node:net';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { hexOf } from './network.ts';

export interface ProxyAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** `length` bytes were the header; `addresses` null: the balancer speaks for itself (a health check). */
export interface ProxyHeader {
  readonly length: number;
  readonly addresses: ProxyAddresses | null;
}

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const longestText = 107;
/** Addresses and what balancers add behind them. */
const longestBinary = 16 + 4096;

/** Null: more bytes are needed. Throws an Error for what is no header. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | null {
  const head = bytes.subarray(0, signature.length);
  if (head.equals(signature.subarray(0, head.length))) return bytes.length < 16 ? null : parseBinary(bytes);
  const start = bytes.toString('latin1', 0, 6);
  if (!'PROXY '.startsWith(start)) throw new Error('expected a PROXY header, got other bytes');
  return parseText(bytes);
}

function parseText(bytes: Buffer): ProxyHeader | null {
  const end = bytes.subarray(0, longestText).indexOf('\r\n');
  if (end < 0) {
    if (bytes.length >= longestText) throw new Error(`PROXY: expected a line of at most ${longestText} bytes`);
    return null;
  }
  const [, family, remoteAddress = '', localAddress = '', remotePort = '', localPort = '', ...more] = bytes.toString('latin1', 0, end).split(' ');
  if (family === 'UNKNOWN') return { length: end + 2, addresses: null };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null;
  const ports = [remotePort, localPort].map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : 65536));
  if (isAddress === null || !isAddress(remoteAddress) || !isAddress(localAddress) || ports.some((port) => port > 65535) || more.length > 0) {
    throw new Error('PROXY: expected TCP4 or TCP6, two addresses and two ports');
  }
  return { length: end + 2, addresses: { remoteAddress, localAddress, remotePort: ports[0]!, localPort: ports[1]! } };
}

function parseBinary(bytes: Buffer): ProxyHeader | null {
  const [version, command] = [bytes[12]! >> 4, bytes[12]! & 15];
  if (version !== 2 || command > 1) throw new Error(`PROXY: expected version 2 with command 0 or 1, got 0x${bytes[12]!.toString(16)}`);
  const length = 16 + bytes.readUInt16BE(14);
  if (length > longestBinary) throw new Error(`PROXY: expected a header of at most ${longestBinary} bytes, got ${length}`);
  if (bytes.length < length) return null;
  const family = bytes[13]!;
  if (command === 0 || (family !== 0x11 && family !== 0x21)) return { length, addresses: null };
  const size = family === 0x11 ? 4 : 16;
  if (length < 16 + size * 2 + 4) throw new Error('PROXY: the header is too short for its addresses');
  const at = (offset: number): string => addressOf(bytes.subarray(16 + offset, 16 + offset + size));
  const ports = 16 + size * 2;
  return {
    length,
    addresses: {
      remoteAddress: at(0), localAddress: at(size), remotePort: bytes.readUInt16BE(ports), localPort: bytes.readUInt16BE(ports + 2),
    },
  };
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  // As the system writes it: the longest row of zeros is left out (RFC 5952).
  const full = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':');
  return new URL(`http://[${full}]`).hostname.slice(1, -1);
}

export const leftEarly = 'PROXY: the client left before its header was there';

/**
 * Reads the header of a paused socket; what came behind it is put back. Rejects when there is none in `timeout` ms,
 * or the client went.
 */
export function readProxyHeader(socket: Socket, timeout: number): Promise<ProxyHeader> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const done = (act: () => void): void => {
      clearTimeout(timer);
      socket.off('data', take).off('error', failed).off('close', closed).off('end', closed);
      act();
    };
    const failed = (error: Error): void => done(() => reject(error));
    const closed = (): void => failed(new Error(leftEarly));
    const timer = setTimeout(() => failed(new Error(`PROXY: no header in ${timeout} ms`)), timeout);
    const take = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      let header: ProxyHeader | null;
      try {
        header = parseProxyHeader(bytes);
      } catch (error) {
        return failed(error as Error);
      }
      if (header === null) return;
      const rest = bytes.subarray(header.length);
      done(() => {
        socket.pause();
        if (rest.length > 0) socket.unshift(Buffer.from(rest));
        resolve(header);
      });
    };
    socket.on('data', take).on('error', failed).on('close', closed).on('end', closed);
    socket.resume();
  });
}

/** What we say of a client to a node. */
export function writeProxyHeader(version: 1 | 2, { remoteAddress, remotePort, localAddress, localPort }: ProxyAddresses): Buffer {
  const families = [isIP(remoteAddress), isIP(localAddress)];
  const family = families[0] === families[1] ? families[0] : 0;
  if (version === 1) {
    return Buffer.from(family === 0 ? 'PROXY UNKNOWN\r\n'
      : `PROXY TCP${family} ${remoteAddress} ${localAddress} ${remotePort} ${localPort}\r\n`);
  }
  const addresses = family === 0 ? Buffer.alloc(0)
    : Buffer.concat([Buffer.from(hexOf(remoteAddress) + hexOf(localAddress), 'hex'), Buffer.from([remotePort >> 8, remotePort & 255, localPort >> 8, localPort & 255])]);
  return Buffer.concat([
    signature, Buffer.from([0x21, family === 0 ? 0 : family === 4 ? 0x11 : 0x21, addresses.length >> 8, addresses.length & 255]), addresses,
  ]);
}
