import { expect, test } from 'vitest';
import { endsWithMark, readResources, type FileReading } from '../../../core/config/resource-file.ts';
import { emptyConfig, type Config } from '../../../core/config/source.ts';
import { knownThings } from './references.ts';
import { cpuTime } from '../../support/cpu-time.ts';

interface Extra { format?: 'yaml' | 'json'; needsEnd?: boolean; environment?: Record<string, string> }

const read = (text: string, last: Config = emptyConfig(), extra: Extra = {}): FileReading =>
  readResources(text, last, {
    name: 'resources.yaml', format: 'yaml', environment: {}, references: knownThings(), ...extra,
  });
const said = (reading: FileReading): string[] => reading.problems.map((each) => each.located);
const ids = (config: Config): string[] => [...config.resources.stream_routes.keys()];

const good = `
# the reference's shape
stream_routes:
  - id: r1
    server_port: 9101
    upstream_id: u1
    plugins:
      limit-count:
        count: 5
  - id: 2
    upstream:
      nodes:
        - { host: 127.0.0.1, port: 6379, weight: 1 }
upstreams:
  - id: u1
    nodes:
      "127.0.0.1:6379": 1
plugin_metadata:
  - id: limit-count
    count: 9
#END
`;

test('the shape of the reference is read, its end mark or not', () => {
  for (const text of [good, good.replace('#END\n', '')]) {
    const { config, problems, warnings } = read(text);
    expect([problems, warnings]).toEqual([[], []]);
    expect(config.revision).toBe(1);
    expect(ids(config)).toEqual(['r1', '2']);
    expect(config.resources.upstreams.get('u1')).toEqual({
      kind: 'upstreams', id: 'u1', origin: 'file', value: { nodes: { '127.0.0.1:6379': 1 } }, createdIndex: 1,
        modifiedIndex: 1,
    });
    expect(config.resources.plugin_metadata.get('limit-count')?.value).toEqual({ count: 9 });
  }
});

test('the same resources in JSON read the same', () => {
  const text = JSON.stringify({ upstreams: [{ id: 'u1', nodes: { '127.0.0.1:6379': 1 } }] }, null, '\t');
  const { config, problems } = read(text, emptyConfig(), { format: 'json' });
  expect(problems).toEqual([]);
  expect(config.resources.upstreams.get('u1')?.value).toEqual({ nodes: { '127.0.0.1:6379': 1 } });
});

test('reading the same text again changes nothing, not even the object', () => {
  const { config } = read(good);
  expect(read(good, config).config).toBe(config);
  expect(read(`# a comment more\n${good}`, config).config).toBe(config);
});

test('only what changed gets a new revision; equal resources stay the same objects', () => {
  const first = read(good).config;
  const second = read(good.replace('count: 5', 'count: 6'), first).config;
  expect(second.revision).toBe(2);
  expect(second.resources.upstreams).toBe(first.resources.upstreams);
  expect(second.resources.stream_routes.get('2')).toBe(first.resources.stream_routes.get('2'));
  expect(second.resources.stream_routes.get('r1')).toMatchObject({ createdIndex: 1, modifiedIndex: 2 });
});

test('a wrong item keeps its last good version and says where it is wrong; the others go on', () => {
  const first = read(good).config;
  const reading = read(good.replace('count: 5', 'count: "5"').replace('port: 6379', 'port: 6380'), first);
  expect(said(reading)).toEqual([
    'resources.yaml:9:16: stream_routes[0].plugins.limit-count.count: expected integer, got string "5"',
  ]);
  expect(reading.config.resources.stream_routes.get('r1')).toBe(first.resources.stream_routes.get('r1'));
  expect(JSON.stringify(reading.config.resources.stream_routes.get('2')?.value)).toContain('6380');
});

test('a wrong item that was never good is left out', () => {
  const reading = read(good.replace('server_port: 9101', 'server_port: 0'));
  expect(ids(reading.config)).toEqual(['2']);
  expect(said(reading)).toEqual(['resources.yaml:5:18: stream_routes[0].server_port: expected 1..65535, got 0']);
});

test('an item that is taken out is gone', () => {
  const first = read(good).config;
  const without = good.replace(/ {2}- id: 2\n(.*\n){3}/, '');
  expect(ids(read(without, first).config)).toEqual(['r1']);
});

test('while an item cannot be told from the others, none is taken away', () => {
  const first = read(good).config;
  const reading = read(good.replace('id: r1', 'id: "r 1"'), first);
  expect(said(reading)).toEqual([
    'resources.yaml:4:9: stream_routes[0].id: expected 1..64 letters, digits, -, _, . or an integer from 1, got "r 1"',
  ]);
  expect(ids(reading.config).toSorted()).toEqual(['2', 'r1']);
});

test('an unknown property is pointed at itself', () => {
  expect(said(read(good.replace('    plugins:', '    plugns:')))).toEqual([
    'resources.yaml:7:5: stream_routes[0]: unknown property "plugns", did you mean "plugins"?',
  ]);
});

test.each<[string, string, string]>([
  ['a misspelled kind', 'strem_routes: []\n',
    'resources.yaml:1:1: unknown property "strem_routes", did you mean "stream_routes"?'],
  ['an empty file', '',
    'resources.yaml:1:1: expected resources, got an empty file; `stream_routes: []` means none'],
  ['only an end mark', '#END\n',
    'resources.yaml:1:1: expected resources, got an empty file; `stream_routes: []` means none'],
  ['a list', '- 1\n', 'resources.yaml:1:1: expected an object of kinds, got something else'],
  ['a kind that is no list', 'upstreams: {}\n', 'resources.yaml:1:1: upstreams: expected a list, got object'],
  ['a duplicate key', 'upstreams: []\nupstreams: []\n', 'resources.yaml:2:1: Map keys must be unique'],
  ['an unclosed bracket', 'upstreams: [',
    'resources.yaml:1:13: Flow sequence in block collection must be sufficiently indented and end with a ]'],
])('%s is refused as a whole and changes nothing', (_what, text, expected) => {
  const last = read(good).config;
  const reading = read(text, last);
  expect(reading.config).toBe(last);
  expect(reading.readable).toBe(false);
  expect(said(reading)).toEqual([expected]);
});

test.each<[string, string, RegExp]>([
  ['cut off', '{"upstreams": [', /1:16: unexpected end of JSON/],
  ['YAML instead', 'upstreams: []', /1:1: not valid JSON/],
  ['a comma too many', '{"upstreams": [],}', /1:18: not valid JSON/],
  ['a duplicate key', '{\n"upstreams": [],\n"upstreams": []}', /3:1: Map keys must be unique/],
])('JSON that is %s is refused as a whole, and its text is not quoted', (_what, text, expected) => {
  const reading = read(text, emptyConfig(), { format: 'json' });
  expect(reading.readable).toBe(false);
  expect(said(reading)[0]).toMatch(expected);
  expect(said(reading)[0]).not.toContain('upstreams');
});

test('an alias bomb is refused in little time', () => {
  const levels = Array.from({ length: 12 }, (_, n) =>
    `a${n + 1}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(', ')}]`);
  const text = `a0: &a0 x\n${levels.join('\n')}\nupstreams: []\n`;
  expect(cpuTime(() => expect(read(text).readable).toBe(false))).toBeLessThan(1000);
});

test('a few aliases are fine, and what they share is not shared afterwards', () => {
  const { config, problems } = read(`upstreams:
  - &one
    nodes: &nodes { "a:1": 1 }
    id: one
  - { id: two, nodes: *nodes }
`);
  expect(problems).toEqual([]);
  expect(config.resources.upstreams.get('two')?.value['nodes']).toEqual({ 'a:1': 1 });
  expect(config.resources.upstreams.get('two')?.value['nodes']).not.toBe(config.resources.upstreams.get('one')?.value['nodes']);
});

test('an alias that contains itself is refused, and so are thousands of brackets', () => {
  for (const text of ['upstreams: &a\n  - *a\n', `upstreams: ${'['.repeat(20_000)}`]) {
    const reading = read(text);
    expect(reading.problems.length).toBeGreaterThan(0);
    expect(reading.config.resources.upstreams.size).toBe(0);
  }
});

test('names that reach into prototypes are refused', () => {
  for (const name of ['__proto__', 'constructor', 'prototype']) {
    const reading = read(`upstreams:\n  - id: u1\n    nodes: { "a:1": 1 }\n    labels: { ${name}: { polluted: 1 } }\n`);
    expect(said(reading)).toEqual([`resources.yaml:4:15: upstreams[0].labels.${name}: the name is forbidden`]);
    const top = read(`${name}: { polluted: 1 }\nupstreams: []\n`);
    expect(top.readable).toBe(false);
  }
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

test('kinds that only the reference has are named in one warning', () => {
  const reading = read('routes: []\nprotos: []\nupstreams: []\nroutes_conf_version: 3\n');
  expect(reading.problems).toEqual([]);
  expect(reading.warnings.map((each) => each.located)).toEqual(['resources.yaml:1:1: routes: not supported and ignored: routes, protos']);
});

test('a route whose upstream is nowhere is taken, with a warning', () => {
  const reading = read('stream_routes:\n  - id: r\n    upstream_id: nowhere\n');
  expect(ids(reading.config)).toEqual(['r']);
  expect(reading.warnings.map((each) => each.located)).toEqual([
    'resources.yaml:3:18: stream_routes[0].upstream_id: failed to fetch upstream info by upstream id [nowhere], response code: 404',
  ]);
});

test('the second item of an id is refused and the first stays', () => {
  const reading = read('upstreams:\n  - id: a\n    type: memory\n  - id: a\n    nodes: {}\n');
  expect(said(reading)).toEqual(['resources.yaml:4:9: upstreams[1].id: found duplicate id a in upstreams, first in line 2']);
  expect(reading.config.resources.upstreams.get('a')?.value).toEqual({ type: 'memory' });
});

test('an item without id keeps its id when it moves and when something else about it changes', () => {
  const one = '  - { server_port: 9101, upstream: { type: memory } }\n';
  const two = '  - { name: mine, server_port: 9102, upstream: { type: memory } }\n';
  const first = read(`stream_routes:\n${one}${two}`).config;
  const moved = read(`stream_routes:\n${two}${one}`, first).config;
  expect(moved).toBe(first);
  const changed = read(`stream_routes:\n${two.replace('9102', '9103')}${one.replace('memory', 'memory, retries: 1')}`, first).config;
  expect(ids(changed).toSorted()).toEqual(ids(first).toSorted());
  expect(ids(first)[0]).toMatch(/^file-[0-9a-f]{16}$/);
});

test('two equal items without id are two resources', () => {
  const item = '  - { upstream: { type: memory } }\n';
  expect(ids(read(`stream_routes:\n${item}${item}`).config)).toHaveLength(2);
});

test('variables are replaced in parsed values: numbers where unquoted, text where quoted', () => {
  const text = `upstreams:
  - id: u
    nodes: [{ host: "\${HOST}", port: 1, weight: 1 }]
    retries: \${RETRIES}
    name: "\${RETRIES}"
    desc: \${NOTHING:-a default} and \${{ OLD:=other }}
    key: $\${HOST}
    labels: { x: "\${EVIL}" }
`;
  const environment = { HOST: 'redis', RETRIES: '3', EVIL: 'x",y:{z}' };
  const { config, problems } = read(text, emptyConfig(), { environment });
  expect(problems).toEqual([]);
  expect(config.resources.upstreams.get('u')?.value).toEqual({
    nodes: [{ host: 'redis', port: 1, weight: 1 }], retries: 3, name: '3', desc: 'a default and other',
      key: '${HOST}',
    labels: { x: 'x",y:{z}' },
  });
});

test('a variable in a key is replaced', () => {
  const { config } = read('upstreams:\n  - id: u\n    nodes: { "${HOST}:6379": 1 }\n', emptyConfig(),
    { environment: { HOST: 'h' } });
  expect(config.resources.upstreams.get('u')?.value['nodes']).toEqual({ 'h:6379': 1 });
});

test('a key that becomes another one by its variable is refused, like one that stands there twice', () => {
  const text = 'upstreams:\n  - id: u\n    nodes: { "${A}:1": 1, "${B}:1": 2 }\n';
  const problemsWith = (B: string): readonly string[] => said(read(text, emptyConfig(), { environment: { A: 'a', B } }));
  expect(problemsWith('b')).toEqual([]);
  expect(problemsWith('a')).toEqual(['resources.yaml:3:27: Map keys must be unique, with their variables replaced, too']);
});

test('a variable that is not set makes its item wrong, not the others', () => {
  const text = 'upstreams:\n  - id: a\n    auth: { password: "${NO_SUCH}" }\n    type: memory\n  - id: b\n    type: memory\n';
  const reading = read(text);
  expect(said(reading)).toEqual(['resources.yaml:3:23: upstreams[0].auth.password: environment variable NO_SUCH is not set']);
  expect([...reading.config.resources.upstreams.keys()]).toEqual(['b']);
});

test('a password that is wrong is not shown', () => {
  const reading = read('upstreams:\n  - id: a\n    type: memory\n    auth: { password: 31337 }\n');
  expect(said(reading)).toEqual(['resources.yaml:4:23: upstreams[0].auth.password: expected string, got number (hidden)']);
});

test('a valid file with end mark, cut at any byte, never changes the good configuration', () => {
  const { config } = read(good);
  const end = good.indexOf('#END') + 4;
  for (let length = 0; length < good.length; length++) {
    const reading = read(good.slice(0, length), config, { needsEnd: endsWithMark(good) });
    expect(reading.config).toBe(config);
    expect(reading.readable).toBe(length >= end);
  }
});

test('a valid JSON file, cut at any byte, never changes the good configuration', () => {
  const text = JSON.stringify({ upstreams: [{ id: 'u1', nodes: { 'a:6379': 1 } },
    { id: 'u2', type: 'memory' }] }, null, 2);
  const { config } = read(text, emptyConfig(), { format: 'json' });
  for (let length = 0; length < text.length; length++) {
    expect(read(text.slice(0, length), config, { format: 'json' }).config).toBe(config);
  }
});

test('a document that is too large is refused unread', () => {
  const reading = read(`upstreams: []\n#${'x'.repeat(16 * 1024 * 1024)}`);
  expect(said(reading)[0]).toContain('expected at most 16777216 bytes');
});
