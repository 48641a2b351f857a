// npm run torture [-- --seconds N --seed S --clients N --largest BYTES --window BYTES --calm]
// Runs until the time is up or a reply is wrong; exits 1 then. The seed repeats the questions, not the timing.
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { freshSeed } from '../support/dice.ts';
import { failedTorture, reportTorture, runTorture } from './torture.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, clients: { type: 'string', default: '40' },
    largest: { type: 'string', default: String(4 * 1024 * 1024) }, window: { type: 'string' }, calm: { type: 'boolean', default: false },
  },
});
const until = performance.now() + Number(values.seconds) * 1000;
let seed = Number(values.seed ?? freshSeed());
// Rounds of at most a minute, so that a failure is found again with a short run of its own seed.
for (let left = Number(values.seconds); left > 1; left = (until - performance.now()) / 1000, seed++) {
  console.log(`seed ${seed}`);
  const result = await runTorture({
    seconds: Math.min(60, left), seed, clients: Number(values.clients), largest: Number(values.largest), disturbed: !values.calm,
    ...(values.window === undefined ? {} : { window: Number(values.window) }),
  });
  console.log(reportTorture(result));
  if (failedTorture(result)) {
    process.exitCode = 1;
    break;
  }
}
