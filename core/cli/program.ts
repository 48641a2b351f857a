// The command line: which commands there are, and what each is called with. What they do is in one file each.
import { Argument, Command, CommanderError } from 'commander';
import { exitCodes, meanings, type ExitCode } from './exit-codes.ts';
import type { ExplainOptions } from './explain.ts';
import type { ImportOptions } from './import.ts';
import type { TopOptions } from './top.ts';
import { version } from '../version.ts';

const endings = `\nExit codes:\n${
  Object.entries(meanings).map(([code, meaning]) => `  ${code}  ${meaning}`).join('\n')}`;

/** Resolves when the command is done; of `start`, when Millrace has stopped. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = exitCodes.ok;
  const program = build((result) => { code = result; });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are asked for; help because nothing was asked is a mistake.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
}

/** Which commands there are. They are imported when called: --help is quick, check does not load what start needs. */
export function build(done: (code: ExitCode) => void): Command {
  const program = new Command('millrace')
    .description('A programmable proxy in front of Redis and other request/response protocols.')
    .version(version())
    .exitOverride()
    .showHelpAfterError('(millrace --help says what there is)')
    .addHelpText('after', endings);

  program.command('start')
    .description('Run until SIGTERM (finishes what is under way). SIGHUP reads files and opens logs again.')
    .option('-c, --config <file>', 'settings (default: millrace.yaml, if there is one)')
    .action(async ({ config }: { config?: string }) => {
      const { start } = await import('./start.ts');
      done(await start(config));
    });

  program.command('check')
    .description('Check a settings file and the resources file it names, or a resources file.')
    .option('-c, --config <file>', 'file to check (default: millrace.yaml, if there is one)')
    .action(async ({ config }: { config?: string }) => {
      const [{ check }, { usualFile }] = await Promise.all([import('./check.ts'), import('./usual-file.ts')]);
      done(await check(config ?? usualFile()));
    });

  program.command('schema')
    .description('Print the JSON schema of settings or resources files, for editors.')
    .addArgument(new Argument('<file>', 'which of the two').choices(['settings', 'resources']))
    .option('-c, --config <file>', 'settings, whose plugin and protocol folders are looked at, too')
    .action(async (name: 'settings' | 'resources', { config }: { config?: string }) => {
      const { schema } = await import('./schema.ts');
      done(await schema(name, config));
    });

  program.command('doctor')
    .description('Look for what would keep Millrace from working here: ports, files, limits, certificates, upstreams.')
    .option('-c, --config <file>', 'settings (default: millrace.yaml, if there is one)')
    .action(async ({ config }: { config?: string }) => {
      const { doctor } = await import('./doctor.ts');
      done(await doctor(config));
    });

  program.command('explain')
    .description('Say which route a connection to a running Millrace would take, and why not another one.')
    .option('-c, --config <file>', 'settings of the running Millrace')
    .option('--admin <url>', 'its Admin API (default: that of the settings)')
    .option('--client <address>', 'client address', '127.0.0.1')
    .option('--server <address:port>', 'where the client connects to', '127.0.0.1:9101')
    .option('--sni <name>', 'TLS server name')
    .option('--command <words>', 'a command that the client sends, such as "get user:1"')
    .option('--json', 'print the whole answer')
    .action(async (options: ExplainOptions) => {
      const { explain } = await import('./explain.ts');
      done(await explain(options));
    });

  program.command('top')
    .description('Show what passes through a running Millrace, route by route.')
    .option('-c, --config <file>', 'settings of the running Millrace')
    .option('--admin <url>', 'its Admin API (default: that of the settings)')
    .option('-i, --interval <seconds>', 'time between two looks', '1')
    .option('--once', 'show one interval and end')
    .action(async ({ interval, ...options }: Omit<TopOptions, 'interval'> & { interval: string }) => {
      const { top } = await import('./top.ts');
      done(await top({ ...options, interval: Math.min(3600, Math.max(0.1, Number(interval) || 1)) }));
    });

  program.command('import')
    .description('Make a resources file of another gateway\'s configuration, and say what does not map.')
    .command('apisix')
    .argument('<source>', 'apisix.yaml, apisix.json, or the address of an Admin API')
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .option('-k, --key <key>', 'key of that Admin API')
    .action(async (source: string, options: ImportOptions) => {
      const { importApisix } = await import('./import.ts');
      done(await importApisix(source, options));
    });

  const create = program.command('new')
    .description('Write the first version of a plugin or protocol, with a test.');
  for (const kind of ['plugin', 'protocol'] as const) {
    create.command(kind)
      .description('Write <folder>/<name>.ts and its test.')
      .argument('<name>', 'letters a-z, digits and -')
      .option('-d, --folder <folder>', 'where to write', `${kind}s`)
      .action(async (name: string, { folder }: { folder: string }) => {
        const { scaffold } = await import('./new.ts');
        done(scaffold(kind, name, folder));
      });
  }

  program.command('test')
    .description('Run tests of plugins and protocols (node:test), wherever their files are.')
    .argument('<files...>', 'test files')
    .action(async (files: string[]) => {
      const { runTests } = await import('./test.ts');
      done(await runTests(files));
    });
  return program;
}
