// What the pages are tested against: a server that runs already (FEDSEAL_URL), the real program with
// a real small run (FEDSEAL names the binary), or the fixture.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { serveFixture } from '../fixtures/serve.mjs';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** `kind` is `given`, `real` or `fixture`; `close` ends what was started here. A real run has so many rounds. */
export async function startServer(rounds = 40) {
  if (process.env.FEDSEAL_URL) return { kind: 'given', base: process.env.FEDSEAL_URL.replace(/\/$/, ''), close() {} };
  if (process.env.FEDSEAL) return real(process.env.FEDSEAL, rounds);
  const fixture = await serveFixture();
  return { kind: 'fixture', base: fixture.url, close: fixture.close };
}

async function real(binary, rounds) {
  const folder = await mkdtemp(join(tmpdir(), 'fedseal-pages-'));
  const report = (run) => join(folder, run, 'report.json');
  let logged;
  const start = (words) => spawn(binary, words, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const server = start(['serve', '--runs', folder, '--registry', join(folder, '.registry'), '--addr', '127.0.0.1:0']);
  const base = await new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      const url = /http:\/\/\S+/.exec(line);
      if (url) resolve(url[0]);
    });
    server.on('exit', (code) => reject(new Error(`fedseal serve ended with ${code}`)));
  });
  // The tiny run with more rounds: its own two are over before a browser has opened a page.
  const tiny = await readFile(join(ROOT, 'experiments/tiny.toml'), 'utf8');
  const experiment = join(folder, 'tiny.toml');
  await writeFile(experiment, tiny.replace(/^rounds = .*$/m, `rounds = ${rounds}`));
  const run = start(['run', experiment, '--out', join(folder, 'tiny'), '--quiet', '--no-figures']);
  run.stdout.resume();
  const ended = new Promise((resolve) => run.on('exit', resolve));
  // The report's first version comes when the model is loaded.
  for (let wait = 0; wait < 600; wait++) {
    if (run.exitCode !== null && run.exitCode !== 0) break;
    if ((await fetch(`${base}/api/runs/tiny`)).ok) {
      return {
        kind: 'real',
        base,
        folder,
        /** Makes every rate of a run's report 100 %. */
        async falsify(run) {
          logged = await readFile(report(run), 'utf8');
          const changed = logged.replace(/"rate":[\d.e-]+/g, '"rate":1');
          if (changed === logged) throw new Error('there is no rate to falsify');
          await writeFile(report(run), changed);
        },
        mend: (run) => writeFile(report(run), logged),
        ended,
        async close() {
          run.kill();
          server.kill();
          await rm(folder, { recursive: true, force: true });
        },
      };
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  server.kill();
  throw new Error(`the run of experiments/tiny.toml wrote no report (exit code ${run.exitCode})`);
}
