// The command line: which commands there are, and what each is called with. What they do is in one file each.
import { Command, CommanderError } from 'commander';
import { exitCodes, meanings, type ExitCode } from './exit-codes.ts';
import { version } from './version.ts';

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

// Commands are imported when they are called: --help is quick, and check does not load what start needs.
function build(done: (code: ExitCode) => void): Command {
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
