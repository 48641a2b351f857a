#!/usr/bin/env node
// The `millrace` command. Of all files this one must run on any Node, to say which one is needed.
const [major] = process.versions.node.split('.');
if (Number(major) < 24) {
  console.error('millrace: expected Node 24 or later, got ' + process.versions.node + '. Install a newer one '
    + '(https://nodejs.org), or start Millrace through npm (npx millrace, npm start), which brings its own.');
  process.exit(1);
} else {
  import('./cli/program.ts').then(({ run }) => run(process.argv.slice(2))).then(
    (code) => process.exit(code),
    (error) => {
      console.error(error);
      process.exit(5);
    },
  );
}

export {};
