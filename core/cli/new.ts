// `millrace new`: a first plugin or protocol that works, and a test that runs.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { builtIn, moduleFiles } from '../loader.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { pluginTemplate, pluginTestTemplate } from './plugin-template.ts';
import { protocolTemplate, protocolTestTemplate } from './protocol-template.ts';

type Kind = 'plugin' | 'protocol';

const templates = {
  plugin: [pluginTemplate, pluginTestTemplate], protocol: [protocolTemplate, protocolTestTemplate],
} as const;

/** Never writes over a file. */
export function scaffold(kind: Kind, name: string, folder: string): ExitCode {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) {
    const expected = '1..63 of a-z, 0-9 and -, a letter first';
    console.error(`millrace: name: expected ${expected}, got ${JSON.stringify(name)}`);
    return exitCodes.usage;
  }
  const files = [join(folder, `${name}.ts`), join(folder, `${name}.test.ts`)] as const;
  const taken = comesWithMillrace(kind, name) ? `the ${kind} ${name} comes with Millrace`
    : files.filter((file) => existsSync(file)).map((file) => `${file} exists`)[0];
  if (taken !== undefined) {
    console.error(`millrace: ${taken}; nothing was written`);
    return exitCodes.invalid;
  }
  mkdirSync(folder, { recursive: true });
  files.forEach((file, index) => {
    writeFileSync(file, templates[kind][index]!.replaceAll('@NAME@', name), { flag: 'wx' });
  });
  console.log(nextSteps(kind, name, folder, files));
  return exitCodes.ok;
}

function comesWithMillrace(kind: Kind, name: string): boolean {
  return builtIn.filter((each) => each.kind === kind).flatMap((each) => moduleFiles(each))
    .some((file) => basename(file, extname(file)) === name || file.includes(`/${name}/index.`));
}

function nextSteps(
  kind: Kind, name: string, folder: string, [file, test]: readonly [string, string],
): string {
  const use = kind === 'plugin'
    ? `plugins: {"${name}": {"commands": ["flushall"]}}` : `protocol: {"name": "${name}"}`;
  return [
    file, test, '',
    `Run the test:      millrace test ${test}`,
    `Load the folder:   ${kind}s: [${folder}]   in millrace.yaml`,
    `Use it in a route: ${use}`,
    'From then on it is live as soon as the file is saved.',
  ].join('\n');
}
