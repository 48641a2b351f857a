// Bytes for the parsers: well-formed values, values with a flaw, and ways to cut them. Generated apart from the
// proxy's own encoder.
import * as fc from 'fast-check';

const CRLF = '\r\n';
/** Bytes as a string of characters 0..255, so that pieces can be joined cheaply. */
const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const line = payload.map((text) => text.replaceAll(/[\r\n]/g, '.'));

const bulk = (text: string): string => `$${text.length}${CRLF}${text}${CRLF}`;

/** One request as an array of bulk strings. */
export const arrayRequest = fc.array(payload, { minLength: 1, maxLength: 12 })
  .map((args) => `*${args.length}${CRLF}${args.map(bulk).join('')}`);

/** One request in any form, empty ones among them. */
export const request = fc.oneof(
  { weight: 6, arbitrary: arrayRequest },
  { weight: 2, arbitrary: line.map((text) => `${text.startsWith('*') ? 'x' : ''}${text}${CRLF}`) },
  { weight: 1, arbitrary: fc.constantFrom('*0\r\n', '*-1\r\n', '\r\n', '\n', 'PING\n', '*1\r\n$0\r\n\r\n') },
);

const tagged = (types: string, text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(fc.constantFrom(...types.split(' ')), text).map(([type, rest]) => `${type}${rest}${CRLF}`);

const scalar: fc.Arbitrary<string> = fc.oneof(
  tagged('+ -', line), tagged(': (', fc.integer().map(String)), tagged(',', fc.double().map(String)),
  fc.constantFrom('_\r\n', '#t\r\n', '#f\r\n', '$-1\r\n', '*-1\r\n', '*0\r\n', '%0\r\n', '~0\r\n'),
  fc.tuple(fc.constantFrom('$', '!', '='), payload).map(([type, text]) => `${type}${text.length}${CRLF}${text}${CRLF}`),
  fc.array(payload.filter((text) => text !== ''), { maxLength: 3 })
    .map((pieces) => `$?${CRLF}${pieces.map((text) => `;${text.length}${CRLF}${text}${CRLF}`).join('')};0${CRLF}`),
);

const { reply: nested } = fc.letrec<{ reply: string; items: string[] }>((tie) => ({
  items: fc.array(tie('reply'), { maxLength: 4 }),
  reply: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.tuple(fc.constantFrom('*', '~'), tie('items')).map(([type, items]) => `${type}${items.length}${CRLF}${items.join('')}`),
    tie('items').filter((items) => items.length % 2 === 0).map((items) => `%${items.length / 2}${CRLF}${items.join('')}`),
    fc.tuple(fc.constantFrom('*', '~'), tie('items')).map(([type, items]) => `${type}?${CRLF}${items.join('')}.${CRLF}`),
    tie('items').filter((items) => items.length % 2 === 0).map((items) => `%?${CRLF}${items.join('')}.${CRLF}`),
    fc.tuple(tie('reply'), scalar, scalar).map(([value, key, about]) => `|1${CRLF}${key}${about}${value}`),
  ),
}));
/** One reply of RESP2 or RESP3, attributes and streamed types among them. */
export const reply: fc.Arbitrary<string> = nested;
export const push: fc.Arbitrary<string> = fc.array(scalar, { minLength: 1, maxLength: 4 })
  .map((items) => `>${items.length}${CRLF}${items.join('')}`);

/** Bytes with some of them changed, lost or doubled. */
export function flawed(bytes: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.tuple(fc.nat(), fc.constantFrom('change', 'lose', 'double', 'insert'), fc.integer({ min: 0, max: 255 }));
  return fc.tuple(bytes, fc.array(change, { minLength: 1, maxLength: 3 })).map(([text, changes]) => {
    let all = text;
    for (const [where, how, byte] of changes) {
      const at = where % (all.length + 1);
      const put = how === 'lose' ? '' : how === 'double' ? all.slice(at, at + 1).repeat(2) : String.fromCharCode(byte);
      all = all.slice(0, at) + put + all.slice(how === 'insert' ? at : at + 1);
    }
    return all;
  });
}

/** 60 texts that are no length, though a lenient parser would take most of them. */
export const badNumbers: readonly string[] = [
  '', ' ', '+', '-', '--1', '+1', '+0', '-0', '-00', '-01', '00', '01', '007', ' 1', '1 ', '\t1', '1\t', '\v1', '1\0',
  '\x001', '1e0', '1e3', '1E3', '0x1', '0X10', '0b1', '0o7', '1.0', '1.', '.1', '1,0', '1_000', "1'000", '1n', 'a', '1a',
  'a1', '5abc', 'NaN', 'nan', 'Infinity', 'inf', '-inf', '٣', '１', '½', '²', '?', '*', '$', '#1', '1-', '1-1', '1+1',
  '- 1', '99999999999', '4294967296000', '9223372036854775808', '99999999999999999999', '1'.repeat(40),
];

/** The pieces of `bytes` cut at these places. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.toSorted((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((to, i) => bytes.subarray(sorted[i], to));
}
