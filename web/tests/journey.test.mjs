// The whole way of a user, with the real program (FEDSEAL names it) in a real browser: a key, a policy, a run that is
// watched, an update that is proved, a byte that is flipped, runs that are compared, a report that proves itself offline.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { ROOT } from './server.mjs';

const program = process.env.FEDSEAL;
/** Milliseconds for a step of the browser, a command, and a run. */
const [STEP, COMMAND, RUN] = [30_000, 240_000, 300_000];

/** What is awaited, or an error after a time. */
const within = (time, what, awaited) =>
  Promise.race([awaited, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: not within ${time} ms`)), time).unref())]);

test('from a key to a report that proves itself', { skip: program ? false : 'FEDSEAL names no program', timeout: 840_000 }, async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'fedseal-journey-'));
  // The checkout's policies and verifier, the user's own keys.
  const env = { ...process.env, FEDSEAL_HOME: join(home, 'keys') };
  const runs = join(home, 'runs');
  await mkdir(runs);
  await mkdir(env.FEDSEAL_HOME);
  const sayAs = (whose, words) => {
    const told = spawnSync(program, words, { cwd: ROOT, env: whose, encoding: 'utf8', timeout: COMMAND });
    assert.equal(told.status, 0, `fedseal ${words.join(' ')}: ${told.error ?? ''}${told.stderr}`);
    return told.stdout;
  };
  const say = (...words) => sayAs(env, words);
  const begin = (words) => spawn(program, words, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const experiment = async (name, rounds, seed) => {
    const tiny = await readFile(join(ROOT, 'experiments/tiny.toml'), 'utf8');
    const file = join(home, `${name}.toml`);
    await writeFile(file, tiny.replace(/^rounds = .*$/m, `rounds = ${rounds}`).replace(/^seeds = .*$/m, `seeds = [${seed}]`));
    return ['run', file, '--out', join(runs, name), '--quiet', '--no-figures'];
  };
  const browser = await chromium.launch({
    timeout: 60_000,
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const started = [];
  t.after(async () => {
    await browser.close();
    for (const child of started) child.kill();
    await rm(home, { recursive: true, force: true });
  });
  let base, page;

  await t.test('a key is made, a policy scaffolded, built and signed', () => {
    say('key', 'new');
    // The checkout's policies are signed by its developer.
    const developer = /[0-9a-f]{64}/.exec(sayAs(process.env, ['key', 'show']))[0];
    say('key', 'trust', 'developer', developer);
    say('policy', 'new', 'mine', '--path', home, '--guest', join(ROOT, 'guest'));
    say('policy', 'build', join(home, 'mine'));
    assert.match(say('policy', 'inspect', join(home, 'mine/target/mine.wasm')), /sandbox +would run it/);
  });

  await t.test('a server starts, and takes the policy from the page', async () => {
    const server = begin(['serve', '--runs', runs, '--registry', join(home, 'registry'), '--addr', '127.0.0.1:0']);
    started.push(server);
    base = await within(STEP, 'the address of the server', new Promise((resolve, reject) => {
      createInterface({ input: server.stdout }).on('line', (line) => /http:\/\/\S+/.test(line) && resolve(/http:\/\/\S+/.exec(line)[0]));
      server.on('exit', (code) => reject(new Error(`fedseal serve ended with ${code}`)));
    }));
    page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    page.setDefaultTimeout(STEP);
    await page.goto(`${base}/modules`);
    await page.setInputFiles('input[name=module]', join(home, 'mine/target/mine.wasm'));
    await page.setInputFiles('input[name=envelope]', join(home, 'mine/target/mine.wasm.dsse.json'));
    await page.getByRole('button', { name: 'Submit' }).click();
    await page.getByText('Registered mine').waitFor();
  });

  await t.test('a run is started, seen in the list, and watched until it is over', async () => {
    const run = begin(await experiment('first', 20, 1));
    started.push(run);
    run.stdout.resume();
    const ended = new Promise((resolve) => run.on('exit', resolve));
    await page.goto(base);
    // The list asks again by itself.
    await page.locator('[data-testid=runs] a').first().click({ timeout: 60_000 });
    await page.waitForSelector('[data-testid=live]', { timeout: 60_000 });
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=live] li').length > 0, undefined, { timeout: 60_000 });
    assert.equal(await within(RUN, 'the run', ended), 0);
    await page.waitForSelector('[data-state=finished]', { timeout: 20_000 });
  });

  await t.test('a run that is killed says so within seconds', async () => {
    const run = begin(await experiment('killed', 400, 2));
    started.push(run);
    run.stdout.resume();
    const ended = new Promise((resolve) => run.on('exit', resolve));
    for (let wait = 0; wait < 300 && !(await fetch(`${base}/api/runs/killed`)).ok; wait++) await new Promise((resolve) => setTimeout(resolve, 100));
    await page.goto(`${base}/runs/killed`);
    await page.getByText('Live', { exact: true }).waitFor();
    run.kill('SIGKILL');
    await within(STEP, 'the end of the run', ended);
    const began = Date.now();
    await page.getByText('Nobody is working on this run').waitFor({ timeout: 20_000 });
    assert.ok(Date.now() - began < 6000, `${Date.now() - began} ms`);
  });

  let update;
  await t.test('an update is opened, and proved in the browser', async () => {
    const report = await (await fetch(`${base}/api/runs/first`)).json();
    update = report.arms.flatMap((arm) => arm.rounds.flatMap((round) => round.clients)).find((client) => client.verdict?.effect === 'reject').update;
    await page.goto(`${base}/runs/first`);
    await page.locator(`a[href="/runs/first/updates/${update}"]`).first().click();
    await page.waitForSelector('[data-testid=checks][data-failed="0"][data-unknown="0"]');
    assert.equal(await page.locator('[data-testid=checks] .good').count(), 6);
  });

  await t.test('a byte that is flipped on disk is seen red', async () => {
    const folder = join(runs, 'first/log/tile/entries');
    const name = (await readdir(folder, { recursive: true, withFileTypes: true })).find((one) => one.isFile());
    const file = join(name.parentPath ?? name.path, name.name);
    const whole = await readFile(file);
    const flipped = Buffer.from(whole);
    flipped[Math.floor(flipped.length / 2)] ^= 1;
    await writeFile(file, flipped);
    await page.goto(`${base}/runs/first`);
    await page.waitForSelector('[data-testid=changed]');
    assert.match(await page.locator('[data-testid=changed]').innerText(), /log/);
    await writeFile(file, whole);
    await page.reload();
    await page.waitForSelector('[data-testid=conclusion]');
    assert.equal(await page.locator('[data-testid=changed]').count(), 0);
  });

  await t.test('two runs are compared', async () => {
    const run = begin(await experiment('second', 2, 3));
    started.push(run);
    run.stdout.resume();
    assert.equal(await within(RUN, 'the run', new Promise((resolve) => run.on('exit', resolve))), 0);
    await page.goto(base);
    for (const name of ['first', 'second']) await page.getByLabel(`Compare ${name}`).check();
    await page.getByRole('link', { name: 'Compare 2 runs' }).click();
    await page.waitForSelector('#measures');
    assert.match(await page.locator('main').innerText(), /rounds/);
  });

  await t.test('the exported report proves itself from disk, with the network off', async () => {
    const file = join(home, 'report.html');
    say('report', join(runs, 'first'), '--out', file);
    const look = async (path) => {
      const context = await browser.newContext({ offline: true });
      const opened = await context.newPage();
      opened.setDefaultTimeout(STEP);
      const faults = [];
      opened.on('pageerror', (error) => faults.push(error.message));
      opened.on('console', (message) => /Content Security Policy/i.test(message.text()) && faults.push(message.text()));
      opened.on('request', (request) => !/^(file|data):/.test(request.url()) && faults.push(`asked ${request.url()}`));
      await opened.goto(pathToFileURL(path).href);
      await opened.waitForFunction(() => document.querySelectorAll('#checks li.good, #checks li.bad, #checks li.unknown').length > 0);
      await opened.waitForTimeout(200);
      const marks = await opened.locator('#checks li').evaluateAll((items) => items.map((item) => item.className));
      const said = await opened.locator('#checks').innerText();
      const key = (await (await fetch(`${base}/api/runs/first`)).json()).node;
      if (!marks.includes('bad')) {
        await opened.locator('#known input').fill(key);
        await opened.locator('#known button').click();
        assert.match(await opened.locator('#known output').innerText(), /It is the key/);
      }
      await context.close();
      return { marks, said, faults };
    };
    const good = await look(file);
    assert.deepEqual(good, { ...good, marks: ['good', 'good', 'good', 'good'], faults: [] }, good.said);
    const text = await readFile(file, 'utf8');
    const copy = join(home, 'changed.html');
    // A rate in the table, as somebody would change it.
    const row = /(<table id="results">[\s\S]*?<td>)(\d)/;
    await writeFile(copy, text.replace(row, (_, before, digit) => `${before}${digit === '9' ? '8' : '9'}`));
    assert.deepEqual((await look(copy)).marks, ['good', 'good', 'good', 'bad']);
    // A byte of the report that it carries.
    await writeFile(copy, text.replace(/\\"seconds\\":(\d)/, (_, digit) => `\\"seconds\\":${digit === '9' ? '8' : '9'}`));
    assert.equal((await look(copy)).marks[0], 'bad');
  });
});
