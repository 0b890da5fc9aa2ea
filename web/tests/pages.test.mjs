// Real pages in headless Chromium (see server.mjs for what serves them). FEDSEAL_SHOTS names a folder
// for screenshots. What is compared is always the page against the JSON of the same server, so the
// tests hold for any run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { load } from './module.mjs';
import { ROOT, startServer } from './server.mjs';

const { share: percentOf, decimal } = await load('percent');

const SHOTS = process.env.FEDSEAL_SHOTS;
let base, server, browser, run, report;
const faults = [];

const json = async (path) => (await fetch(base + path)).json();

async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('pageerror', (error) => faults.push(`${path}: ${error.message}`));
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) faults.push(`${path}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (/^https?:$/.test(url.protocol) && url.origin !== new URL(base).origin) faults.push(`${path}: asked ${url.origin}`);
  });
  await page.goto(base + path);
  return page;
}

async function shot(page, name) {
  if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

/** Texts of a page whose contrast with their ground is under 4.5. Runs in the browser. */
function faint() {
  const colour = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    const scale = text.startsWith('color(') ? 255 : 1;
    return [...parts.slice(0, 3).map((part) => part * scale), parts[3] ?? 1];
  };
  const light = (rgb) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, share, at) => {
      const part = rgb[at] / 255;
      return sum + share * (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const own = colour(getComputedStyle(at).backgroundColor);
      if (own[3] === 1) return own;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (text.textContent.trim() === '' || element.closest('.visually-hidden, .skip, script, style, noscript, :disabled') || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = colour(element instanceof SVGElement ? style.fill : style.color);
    let alpha = ink[3];
    for (let at = element; at; at = at.parentElement) alpha *= Number(getComputedStyle(at).opacity);
    const below = ground(element);
    const mixed = [0, 1, 2].map((at) => ink[at] * alpha + below[at] * (1 - alpha));
    const [more, less] = [light(mixed), light(below)].sort((a, b) => b - a);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) found.push(`${text.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}

/** An update of a run that some arm refused, else any. */
function someUpdate() {
  const clients = report.arms.flatMap((arm) => arm.rounds.flatMap((round) => round.clients.map((c) => ({ ...c, arm, round: round.round }))));
  return clients.find((c) => c.verdict.effect === 'reject') ?? clients[0];
}

before(async () => {
  server = await startServer();
  base = server.base;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(async () => {
  await browser?.close();
  await server?.close();
  assert.deepEqual(faults, [], 'no script fault and no request to another host');
});

test('a run is live while it works, and finished without a reload', async (t) => {
  const live = (await json('/api/runs')).find((r) => r.state === 'running');
  if (live === undefined) return t.skip('this server has no running run');
  const page = await open(`/runs/${live.run}`);
  await page.waitForSelector('[data-testid=live]');
  await page.getByText('Live', { exact: true }).waitFor();
  const share = () => page.locator('[data-testid=live] progress').evaluate((bar) => bar.value);
  const first = await share();
  await page.waitForFunction(
    (was) => (document.querySelector('[data-testid=live] progress')?.value ?? 1) > was,
    first,
    { timeout: 60_000 },
  );
  await shot(page, 'live');
  if (server.kind === 'real') {
    assert.equal(await server.ended, 0, 'the run ends well');
    await page.waitForSelector('[data-state=finished]', { timeout: 15_000 });
    await page.waitForSelector('[data-testid=live]', { state: 'detached' });
  }
  await page.context().close();
});

test('there is a run to look at', async () => {
  const runs = await json('/api/runs');
  run = (runs.find((r) => r.state === 'finished' && r.evidence.state === 'verified') ?? runs[0])?.run;
  assert.ok(run, 'the server has no run to show');
  report = await json(`/api/runs/${run}`);
});

test('the list names every run and leads to one', async () => {
  const page = await open('/');
  const runs = await json('/api/runs');
  await page.waitForSelector('[data-testid=runs]');
  assert.equal(await page.locator('[data-testid=runs] tbody tr').count(), runs.length);
  await shot(page, 'runs');
  await page.click(`a[href="/runs/${run}"]`);
  await page.waitForSelector('[data-testid=results]');
  assert.equal(new URL(page.url()).pathname, `/runs/${run}`);
  await page.goBack();
  await page.waitForSelector('[data-testid=runs]');
  await page.context().close();
});

test('the list is searched, filtered by state, and says what each run concludes', async () => {
  const runs = await json('/api/runs');
  const page = await open('/');
  await page.waitForSelector('[data-testid=runs]');
  const rows = page.locator('[data-testid=runs] tbody tr');
  const one = runs.find((r) => r.conclusion);
  if (one) {
    const row = rows.filter({ has: page.locator(`a[href="/runs/${one.run}"]`) });
    assert.ok((await row.innerText()).includes(one.conclusion.sentences[0]));
  }
  if (runs.length > 1) {
    await page.getByRole('searchbox').fill(runs[0].run);
    const fits = runs.filter((r) => r.run.includes(runs[0].run)).length;
    await page.waitForFunction((n) => document.querySelectorAll('[data-testid=runs] tbody tr').length <= n, Math.max(fits, 1) + runs.length - 1);
    assert.ok((await rows.count()) >= fits);
    assert.ok(page.url().includes('q='));
    await page.getByRole('searchbox').fill('no run has this name');
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=runs] tbody tr').length === 0);
    await page.goto(`${base}/?state=finished`);
    await page.waitForSelector('[data-testid=runs]');
    assert.equal(await rows.count(), runs.filter((r) => r.state === 'finished' && r.evidence.state !== 'changed').length);
  }
  await page.context().close();
});

test('marked runs are compared: settings, measures with differences, courses', async (t) => {
  const finished = (await json('/api/runs')).filter((r) => r.state === 'finished' && r.evidence.state === 'verified').map((r) => r.run);
  if (finished.length < 2) return t.skip('this server has no two finished runs');
  const [one, other] = await Promise.all(finished.slice(0, 2).map((name) => json(`/api/runs/${name}`)));
  const page = await open('/');
  for (const name of finished.slice(0, 2)) await page.getByLabel(`Compare ${name}`, { exact: true }).check();
  await page.getByText('Compare 2 runs').click();
  await page.waitForSelector('[data-testid=compared-safety]');
  const both = one.arms.filter((arm) => arm.safety && other.arms.some((o) => o.id === arm.id && o.safety));
  for (const arm of both) {
    const second = other.arms.find((o) => o.id === arm.id).safety;
    const shown = page.locator(`[data-testid=compared-safety] [data-arm="${arm.id}"] [data-difference]`);
    assert.equal(await shown.getAttribute('data-difference'), (second.rate - arm.safety.rate).toFixed(4), arm.id);
  }
  await page.getByText('Settings that differ').waitFor();
  await page.reload();
  await page.waitForSelector('[data-testid=compared-safety]');
  await shot(page, 'compare');
  await page.context().close();
});

test('a node key is first seen, then as last time, then known', async () => {
  const page = await open(`/runs/${run}`);
  const key = page.locator('[data-testid=node-key]');
  await key.waitFor();
  assert.equal(await key.getAttribute('data-standing'), 'first');
  await page.reload();
  await key.waitFor();
  assert.equal(await key.getAttribute('data-standing'), 'seen');
  await key.locator('input').fill('0'.repeat(64));
  await key.getByRole('button', { name: 'Compare and keep' }).click();
  await key.getByText('this run has another key').waitFor();
  await key.locator('input').fill(report.node);
  await key.getByRole('button', { name: 'Compare and keep' }).click();
  await page.waitForSelector('[data-testid=node-key][data-standing=known]');
  await page.context().close();
});

test('who comes before the first report sees it as soon as it is there', async () => {
  const page = await open('/modules');
  let asked = 0;
  const refusal = { title: 'Not Found', status: 404, detail: '', error: 'There is no such report.', what: `${run}: it has not been written yet`, hint: '' };
  await page.route(`**/api/runs/${run}/index`, (route) =>
    ++asked > 1 ? route.continue() : route.fulfill({ status: 404, contentType: 'application/problem+json', body: JSON.stringify(refusal) }));
  await page.goto(`${base}/runs/${run}`);
  await page.getByText('it has not been written yet').waitFor();
  await page.waitForSelector('[data-testid=results]');
  assert.equal(asked, 2);
  assert.equal(await page.getByRole('alert').count(), 0);
  await page.context().close();
});

test('a run whose log is being checked says so, and then what was found', async () => {
  const page = await open('/modules');
  let asked = 0;
  await page.route(`**/api/runs/${run}/index`, async (route) => {
    const answer = await route.fetch();
    if (++asked > 1) return route.fulfill({ response: answer });
    const index = await answer.json();
    const { log } = index.served.evidence;
    return route.fulfill({ response: answer, json: { ...index, served: { ...index.served, evidence: { state: 'checking', log } } } });
  });
  await page.goto(`${base}/runs/${run}`);
  await page.waitForSelector('[data-testid=checking]');
  await page.getByText('finished, not checked yet').waitFor();
  assert.equal(await page.getByText('✓ as logged').count(), 0);
  await page.waitForSelector('.tag.good[data-state=finished][data-evidence=verified]');
  assert.equal(await page.locator('[data-testid=checking]').count(), 0);
  assert.equal(asked, 2);
  await page.context().close();
});

test('the results table shows the figures of the API', async () => {
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=results]');
  const extra = (report.measures ?? []).map((measure) => measure.name);
  for (const arm of report.arms)
    for (const measure of ['safety', 'helpfulness', ...extra]) {
      const cell = page.locator(`[data-arm="${arm.id}"] [data-measure=${measure}]`);
      const text = (await cell.innerText()).replace(/\s+/g, ' ');
      const m = extra.includes(measure) ? (arm.measures?.[measure] ?? null) : arm[measure];
      if (m === null) assert.match(text, /not (yet|measured)/);
      else {
        assert.ok(text.includes(`${percentOf(m.hits, m.n)} %`), `${arm.id} ${measure}: ${text}`);
        assert.ok(text.includes(`${decimal(m.low * 100)}–${decimal(m.high * 100)}`), `${arm.id} ${measure}: ${text}`);
        assert.ok(text.includes(`${m.hits}/${m.n}`), `${arm.id} ${measure}: ${text}`);
      }
    }
  await shot(page, 'run');
  await page.context().close();
});

test('a finished run shows the root and the size of its log, and that its files are as logged', async () => {
  const { evidence } = report.served;
  assert.equal(evidence.state, 'verified');
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=results]');
  assert.equal(await page.locator('[data-testid=root]').innerText(), evidence.log.root);
  assert.equal(await page.locator('[data-testid=size]').innerText(), evidence.log.size.toLocaleString('en'));
  await page.getByText('✓ as logged').waitFor();
  await page.waitForSelector('.tag.good[data-state=finished][data-evidence=verified]');
  assert.equal(await page.getByRole('alert').count(), 0);
  if (process.env.FEDSEAL) {
    const folder = server.folder;
    const told = spawnSync(process.env.FEDSEAL, ['verify', join(folder, run), '--json'], { encoding: 'utf8' });
    const verified = JSON.parse(told.stdout);
    assert.deepEqual([verified.root, verified.entries], [evidence.log.root, evidence.log.size]);
  }
  await page.context().close();
});

test('a run that was changed since it was logged is red, and its figures are not shown', async (t) => {
  if (server.kind === 'real') await server.falsify(run);
  const changed = (await json('/api/runs')).find((r) => r.evidence.state === 'changed');
  if (changed === undefined) return t.skip('this server has no changed run');
  try {
    assert.deepEqual(changed.safety, {});
    let page = await open('/');
    const row = page.locator('[data-testid=runs] tbody tr').filter({ has: page.locator(`a[href="/runs/${changed.run}"]`) });
    await row.locator('.tag.bad').getByText('changed since it was logged').waitFor();
    assert.match(await row.innerText(), /report\.json/);
    assert.equal(await row.locator('.tag.good').count(), 0);
    await shot(page, 'runs-changed');
    await page.context().close();
    for (const [name, path, table] of [['run', '', 'results'], ['answers', '/answers', 'answers']]) {
      page = await open(`/runs/${changed.run}${path}`);
      await page.waitForSelector('[data-testid=changed]');
      assert.match(await page.getByRole('alert').innerText(), /Changed since it was logged: report\.json/);
      assert.equal(await page.locator(`[data-testid=${table}]`).count(), 0);
      assert.equal(await page.locator('[data-testid=conclusion]').count(), 0);
      assert.equal(await page.locator('.tag.good').count(), 0);
      await shot(page, `${name}-changed`);
      await page.getByRole('button', { name: 'Show it all the same' }).click();
      await page.waitForSelector(`[data-testid=${table}]`);
      await page.getByText('Do not believe it').waitFor();
      await page.context().close();
    }
  } finally {
    if (server.kind === 'real') await server.mend(run);
  }
});

test('refusals by kind are those of the API', async () => {
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=verdicts]');
  for (const row of report.verdicts) {
    if (row.accepted + row.refused + (row.failed ?? 0) === 0) continue;
    const title = report.arms.find((arm) => arm.id === row.arm).title;
    const cell = page.locator('[data-testid=verdicts] tbody tr').filter({ has: page.getByRole('rowheader', { name: title, exact: true }) }).locator(`[data-kind="${row.kind}"]`);
    const text = await cell.innerText();
    if (row.accepted + row.refused > 0) assert.match(text, new RegExp(`${row.refused} of ${row.refused + row.accepted}`));
    if (row.failed) assert.match(text, new RegExp(`${row.failed} failed`));
  }
  for (const arm of report.arms) {
    const failed = report.verdicts.filter((row) => row.arm === arm.id).reduce((all, row) => all + (row.failed ?? 0), 0);
    const text = await page.locator(`[data-arm="${arm.id}"] [data-label=Failed]`).innerText();
    assert.equal(text.trim(), failed > 0 ? String(failed) : '–', arm.id);
  }
  await page.context().close();
});

test('a round leads to an update, whose proofs hold in the browser', async () => {
  const update = someUpdate();
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=rounds]');
  await page.selectOption('#rounds select', update.arm.id);
  const everything = page.getByRole('button', { name: 'Show all rounds' });
  if (update.arm.rounds.length > 12) await everything.click();
  assert.equal(await everything.count(), 0);
  const row = page.locator(`[data-testid=rounds] a[href="/runs/${run}/updates/${update.update}"]`).first();
  await row.click();
  await page.waitForSelector('[data-testid=statement]');
  const statement = await page.locator('[data-testid=statement]').innerText();
  assert.ok(statement.includes(update.client), statement);
  assert.ok(statement.includes(`round ${update.round}`), statement);
  await page.waitForSelector('[data-testid=checks][data-failed="0"][data-unknown="0"]');
  const checks = await page.locator('[data-testid=checks] li').allInnerTexts();
  assert.equal(checks.length, 6);
  for (const text of checks) assert.match(text, /holds/);
  const verdicts = await page.locator('#verdicts').innerText();
  assert.ok(verdicts.includes(update.verdict.fact), 'the fact that decided is shown');
  await shot(page, 'update');
  const view = await json(`/api/runs/${run}/updates/${update.update}`);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByText('Download the signed envelope').click()]);
  assert.equal(await readFile(await download.path(), 'utf8'), view.envelope);
  if (process.env.FEDSEAL) {
    const [bundle] = await Promise.all([page.waitForEvent('download'), page.getByText('Download its bundle').click()]);
    const statement = JSON.parse(Buffer.from(JSON.parse(view.envelope).payload, 'base64'));
    const { node, module_signer: author } = statement.predicate;
    const told = spawnSync(process.env.FEDSEAL, ['verify', await bundle.path(), '--node', node, '--author', author], { encoding: 'utf8' });
    assert.equal(told.status, 0, told.stderr);
  }
  await page.context().close();
});

test('a flipped bit in what the server sends is seen', async () => {
  const update = someUpdate();
  const path = `/api/runs/${run}/updates/${update.update}`;
  const view = await json(path);
  const flip = (hex) => (hex[0] === '0' ? '1' : '0') + hex.slice(1);
  view.log.proof[0] = flip(view.log.proof[0]);
  view.transcript = view.transcript.replace('"seq":0', '"seq":9');
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route(`**${path}`, (route) => route.fulfill({ json: view }));
  await page.goto(`${base}/runs/${run}/updates/${update.update}`);
  await page.waitForSelector('[data-testid=checks][data-failed="2"]');
  assert.ok(await page.getByRole('alert').isVisible());
  await context.close();
});

test('every field of an attestation is explained', async () => {
  const update = someUpdate();
  const page = await open(`/runs/${run}/updates/${update.update}`);
  const fields = page.locator('[data-testid=explained]');
  await fields.locator('summary').click();
  const view = await json(`/api/runs/${run}/updates/${update.update}`);
  const rows = await fields.locator('tbody tr').allInnerTexts();
  assert.equal(rows.length, Object.keys(view.statement.predicate).length);
  for (const text of rows) assert.ok(text.length > 40, text);
  await shot(page, 'explained');
  await page.context().close();
});

test('without its verifier nothing is green', async () => {
  const update = someUpdate();
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route('**/verifier.wasm', (route) => route.fulfill({ status: 404, body: 'none' }));
  await page.goto(`${base}/runs/${run}/updates/${update.update}`);
  await page.waitForSelector('[data-testid=checks][data-unknown="1"]');
  assert.equal(await page.locator('[data-testid=checks] .good').count(), 0);
  await context.close();
});

test('the log is read entry by entry, each with its proof', async () => {
  const page = await open(`/runs/${run}/log`);
  await page.waitForSelector('[data-testid=entries]');
  await page.waitForSelector('#checkpoint [data-testid=checks][data-failed="0"][data-unknown="0"]');
  const size = (await json(`/api/runs/${run}/entries?count=1`)).size;
  await page.getByText(`${Math.min(100, size)} of ${size.toLocaleString('en')} shown`).waitFor();
  await page.getByRole('button', { name: 'Check entry 0' }).click();
  await page.waitForSelector('[data-testid=entries] [data-testid=checks][data-failed="0"]');
  await page.selectOption('#entries select', 'update');
  await page.locator('[data-testid=entries] tbody tr').first().getByText('update', { exact: true }).waitFor();
  const tile = await page.locator('#tiles a').nth(1).getAttribute('href');
  if (server.kind !== 'fixture') assert.equal((await fetch(base + tile)).status, 200, tile);
  await shot(page, 'log');
  await page.context().close();
});

test('a log that was rewritten since last time is red', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const path = `${base}/runs/${run}/log`;
  await page.goto(path);
  await page.getByText('for the first time and remembers').waitFor();
  await page.reload();
  await page.waitForSelector('#growth [data-testid=checks][data-failed="0"][data-unknown="0"]');
  // As if this browser had seen another history, or more entries.
  for (const change of [(note) => note.replace(/^([^\n]*\n)(\d+)\n/, (_, name, n) => `${name}${Number(n) + 7}\n`), (note) => note.replace(/\n([A-Za-z0-9+/])([^\n]*=)\n\n/, (_, a, rest) => `\n${a === 'A' ? 'B' : 'A'}${rest}\n\n`)]) {
    await page.evaluate(
      ([place, text]) => localStorage.setItem(place, text),
      ['fedseal-checkpoints', JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(await page.evaluate(() => localStorage.getItem('fedseal-checkpoints')))).map(([name, note]) => [name, change(note)])))],
    );
    await page.reload();
    await page.getByText('Do not believe it').waitFor();
  }
  await context.close();
});

test('a round shows its updates beside each other, and is played', async () => {
  const arm = report.arms.filter(({ rounds }) => rounds.length > 1).at(-1);
  const page = await open(`/runs/${run}/arms/${arm.id}?round=0`);
  await page.waitForSelector('[data-testid=rules]');
  const view = await json(`/api/runs/${run}/arms/${arm.id}/rounds/0`);
  const there = view.clients.filter(({ norm }) => norm !== null);
  assert.equal(await page.locator('[data-testid=projection] .point').count(), there.length);
  assert.equal(await page.locator('[data-testid=members] tbody tr').count(), view.clients.length);
  assert.equal(await page.locator('[data-testid=rules] tbody tr').count(), view.rules.length);
  for (const rule of view.rules.filter(({ problem }) => problem === null)) assert.equal(rule.weights.length, there.length);
  for (const [at, row] of view.cosines.entries()) assert.ok(Math.abs(row[at] - 1) < 1e-6, 'an update goes its own way');
  // The heat map is one stop for Tab, with a way past it.
  assert.equal(await page.locator('[data-testid=cosines] [tabindex="0"]').count(), 1);
  await page.locator('[data-testid=cosines] [tabindex="0"]').focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.cell), '0 1');
  await shot(page, 'round');
  await page.getByRole('button', { name: '▶ Play' }).click();
  await page.waitForFunction(() => new URLSearchParams(location.search).get('round') === '1');
  await page.context().close();
});

test('every arm answers the same prompts, classed by the judge', async () => {
  const view = await json(`/api/runs/${run}/answers`);
  const page = await open(`/runs/${run}/answers`);
  if (view.prompts.length === 0) await page.getByText('No answers yet').waitFor();
  else {
    await page.waitForSelector('[data-testid=answers]');
    const more = page.getByRole('button', { name: /Show all \d+ prompts/ });
    if (await more.count()) await more.click();
    assert.equal(await page.locator('[data-testid=answers] article').count(), view.prompts.length);
    for (const prompt of view.prompts.slice(0, 5)) {
      const card = page.locator(`#${prompt.id}`);
      assert.ok((await card.locator('h2').innerText()).includes(prompt.prompt.trim().split('\n')[0]), prompt.id);
      for (const [arm, { hit, text }] of Object.entries(prompt.answers)) {
        const answer = card.locator(`[data-arm="${arm}"]`);
        const name = prompt.kind === 'harmful' ? (hit ? 'refused' : 'complied') : hit ? 'solved' : 'missed';
        assert.equal(await answer.getAttribute('data-class'), name, `${prompt.id} ${arm}`);
        assert.equal(await answer.locator('dd').textContent(), text === '' ? '(empty)' : text);
      }
    }
    await shot(page, 'answers');
  }
  await page.context().close();
});

test('answers are filtered, searched, and found again by their address', async () => {
  const { prompts, arms } = await json(`/api/runs/${run}/answers`);
  const [arm, beside] = ['fedavg', 'clean'];
  if (![arm, beside].every((id) => arms.some((one) => one.id === id))) return;
  const unsafe = prompts.filter(({ kind, answers }) => kind === 'harmful' && answers[beside]?.hit && answers[arm] && !answers[arm].hit);
  const page = await open(`/runs/${run}/answers?change=unsafe&arm=${arm}&beside=${beside}`);
  // The number is there, however many prompts are; an empty list is not seen.
  await page.waitForSelector('[data-testid=found]');
  const number = async () => Number(/^[\d,]+/.exec(await page.locator('[data-testid=found]').innerText())[0].replaceAll(',', ''));
  assert.equal(await number(), unsafe.length);
  await page.locator('[data-testid=change]').selectOption('any');
  assert.equal(await number(), prompts.length);
  assert.ok(!page.url().includes('change='));
  const word = prompts[0].prompt.split(/\s+/)[0].toLowerCase();
  await page.getByRole('searchbox').fill(word);
  const fits = prompts.filter((one) => [one.prompt, ...Object.values(one.answers).map(({ text }) => text)].join('\n').toLowerCase().includes(word));
  assert.equal(await number(), fits.length);
  assert.ok(page.url().includes(`q=${word}`));
  await page.locator('[data-testid=answers] h2 a').first().click();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=answers] article').length === 1);
  await page.reload();
  await page.waitForSelector('[data-testid=answers] article');
  assert.equal(await page.locator('[data-testid=answers] article').count(), 1);
  await page.getByText(/^All \d+ prompts$/).click();
  await page.waitForSelector('[data-testid=found]');
  await page.context().close();
});

test('the conclusion comes first, in the server\'s words', async () => {
  const { conclusion } = report.served;
  const page = await open(`/runs/${run}`);
  const shown = page.locator('[data-testid=conclusion]');
  await shown.waitFor();
  assert.equal(await shown.getAttribute('data-outcome'), conclusion.outcome);
  const text = await shown.innerText();
  for (const sentence of conclusion.sentences) assert.ok(text.includes(sentence), sentence);
  const above = await page.evaluate(() => document.querySelector('[data-testid=conclusion]').compareDocumentPosition(document.querySelector('#results')));
  assert.equal(above & 4, 4, 'before the results');
  await shown.locator('a[href="#verdicts"]').click();
  await page.waitForFunction(() => Math.abs(document.querySelector('#verdicts').getBoundingClientRect().top) < innerHeight);
  await page.context().close();
});

test('each arm has its point and its small chart, which lead on', async () => {
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=multiples]');
  const measured = report.arms.filter((arm) => arm.safety && arm.helpfulness);
  assert.equal(await page.locator('[data-testid=tradeoff] a').count(), measured.length > 1 ? measured.length : 0);
  const courses = report.arms.filter((arm) => arm.rounds.some((round) => round.safety));
  assert.equal(await page.locator('[data-testid=multiples] a').count(), courses.length);
  const { id } = courses.at(-1);
  await page.locator('[data-testid=multiples] a').last().click();
  await page.waitForFunction((arm) => document.querySelector('#rounds select').value === arm, id);
  if (measured.length > 1) {
    await page.locator('[data-testid=tradeoff] a').first().focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('[data-testid=answers], .notice');
    assert.equal(new URL(page.url()).searchParams.get('arm'), measured[0].id);
  }
  await page.context().close();
});

test('the chosen arm and hidden lines are in the address, and Back brings them back', async () => {
  const arm = report.arms.filter((one) => one.rounds.length > 0).at(-1).id;
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=rounds]');
  await page.selectOption('#rounds select', arm);
  assert.equal(new URL(page.url()).searchParams.get('arm'), arm);
  await page.locator('#by-round .legend button').first().click();
  assert.equal(new URL(page.url()).searchParams.get('hide'), report.arms[0].id);
  await page.locator('[data-testid=rounds] tbody a[href*="/updates/"]').first().evaluate((link) => link.click());
  await page.waitForSelector('[data-testid=statement]');
  await page.goBack();
  await page.waitForSelector('[data-testid=rounds]');
  assert.equal(await page.locator('#rounds select').inputValue(), arm);
  assert.equal(await page.locator('#by-round .legend button').first().getAttribute('aria-pressed'), 'false');
  await page.context().close();
});

test('the grid of updates is one stop for Tab, with arrow keys inside and a way past it', async () => {
  const page = await open(`/runs/${run}`);
  await page.waitForSelector('[data-testid=grid]');
  const grid = page.locator('[data-testid=grid]');
  assert.equal(await grid.locator('a[tabindex="0"]').count(), 1);
  assert.ok((await grid.locator('a').count()) > 1);
  const past = page.locator('a.past[href="#rounds-table"]');
  await past.focus();
  await page.keyboard.press('Tab');
  const cell = () => page.evaluate(() => document.activeElement?.getAttribute('data-cell'));
  const first = await cell();
  assert.ok(first, 'Tab leads into the grid');
  await page.keyboard.press('End');
  const end = await cell();
  await page.keyboard.press('ArrowDown');
  const below = await cell();
  assert.ok(end !== below && Number(below.split(' ')[0]) > Number(end.split(' ')[0]), `${end} ${below}`);
  assert.equal(await grid.locator('a[tabindex="0"]').count(), 1);
  await page.keyboard.press('Tab');
  assert.equal(await cell(), null, 'the next Tab leaves it');
  await past.focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => location.hash === '#rounds-table');
  await page.context().close();
});

test('no table holds the Tab key for long without a way past it', async () => {
  for (const [path, ready] of [[`/runs/${run}`, '[data-testid=rounds]'], [`/runs/${run}/log`, '[data-testid=entries] tbody td button'], [`/runs/${run}/arms/${someUpdate().arm.id}`, '[data-testid=projection]']]) {
    const page = await open(path);
    await page.waitForSelector(ready);
    const found = await page.evaluate(() => {
      const stops = (root) => [...root.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')].filter((one) => one.tabIndex >= 0 && !one.disabled && one.getClientRects().length > 0);
      const after = (one, other) => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
      const ways = [...document.querySelectorAll('a.past')].map((way) => [way, document.getElementById(way.hash.slice(1))]);
      const held = [...document.querySelectorAll('main table')].filter((table) => stops(table).length > 20);
      const without = held.filter((table) => !ways.some(([way, target]) => target && after(way, table) && after(table, target) && !table.contains(target)));
      return { ways: ways.map(([, target]) => target !== null), without: without.map((table) => `${table.dataset.testid}: ${stops(table).length}`), held: held.length };
    });
    assert.ok(found.ways.every(Boolean), `${path}: a way past leads nowhere`);
    assert.deepEqual(found.without, [], path);
    if (path.endsWith('/log')) assert.ok(found.held > 0, 'the log has many stops');
    await page.context().close();
  }
});

test('what is wider than its place can be scrolled there, and a shadow says so', async () => {
  let wider = 0;
  for (const width of [360, 768, 1280])
    for (const path of [`/runs/${run}`, `/runs/${run}/arms/${someUpdate().arm.id}`, `/runs/${run}/updates/${someUpdate().update}`]) {
      const page = await open(path, { viewport: { width, height: 900 } });
      await page.waitForSelector('[data-testid=rounds] td a, [data-testid=projection], [data-testid=checks][data-failed]');
      const found = await page.evaluate(() => {
        const faults = [];
        let scrolled = 0;
        for (const table of document.querySelectorAll('main table')) {
          const name = `${table.dataset.testid ?? table.getAttribute('aria-label') ?? table.textContent.trim().slice(0, 30)}`;
          for (let at = table.parentElement; at && at !== document.body; at = at.parentElement) {
            const { overflowX, backgroundImage } = getComputedStyle(at);
            if (overflowX === 'visible' || at.scrollWidth <= at.clientWidth + 1) continue;
            if (overflowX === 'hidden' || overflowX === 'clip') faults.push(`${name} is cut off`);
            else if (backgroundImage.split('linear-gradient').length < 5) faults.push(`${name} has no shadow at its edges`);
            else if (at.tabIndex < 0 && !at.querySelector('a[href], button, [tabindex="0"]')) faults.push(`${name} cannot be scrolled by keyboard`);
            scrolled += 1;
          }
        }
        return { faults, scrolled };
      });
      assert.deepEqual(found.faults, [], `${path}, ${width} px`);
      wider += found.scrolled;
      await page.context().close();
    }
  assert.ok(wider > 0, 'something is wider than its place');
});

test('an arm with many rounds has an overview, and a window of its rounds', async (t) => {
  let many;
  for (const { run: name } of await json('/api/runs')) {
    const one = await json(`/api/runs/${name}/index`);
    if (one.arms?.some((arm) => arm.rounds.length > 60)) many = one;
  }
  if (many === undefined) return t.skip('this server has no run of so many rounds');
  const arm = many.arms.find((one) => one.rounds.length > 60);
  const page = await open(`/runs/${many.served.run}?arm=${arm.id}`);
  const overview = page.locator('[data-testid=overview] [role=slider]');
  await overview.waitFor();
  const columns = page.locator('[data-testid=grid] thead th.cell');
  const first = async (wanted) => {
    await page.waitForFunction((text) => document.querySelector('[data-testid=grid] thead th.cell')?.textContent === text, String(wanted));
    assert.equal(await columns.count(), 30);
  };
  await first(arm.rounds.at(-30).round);
  // Something is drawn, and panning changes it.
  const ink = () => page.locator('[data-testid=overview] canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, byte, at) => (sum * 31 + byte * (at % 997)) % 1000003, 7);
  });
  const whole = await ink();
  for (let n = 0; n < 3; n++) await page.getByRole('button', { name: 'Larger' }).click();
  await page.waitForTimeout(100);
  const larger = await ink();
  assert.notEqual(larger, whole);
  const box = await overview.boundingBox();
  await page.mouse.move(box.x + 100, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await page.waitForTimeout(100);
  assert.notEqual(await ink(), larger);
  assert.equal(new URL(page.url()).searchParams.get('from'), null, 'a drag chooses nothing');
  await overview.focus();
  await page.keyboard.press('Home');
  await first(arm.rounds[0].round);
  assert.equal(new URL(page.url()).searchParams.get('from'), '0');
  await page.reload();
  await first(arm.rounds[0].round);
  await page.getByRole('button', { name: 'Later' }).click();
  await first(arm.rounds[30].round);
  await shot(page, 'run-many');
  await page.context().close();
});

test('an update\'s page says first what became of it; a short id opens it; calls in a row are folded', async () => {
  const all = report.arms.flatMap((arm) => arm.rounds.flatMap((round) => round.clients));
  const update = all.find((c) => c.kind === 'unaligned-data' && c.update) ?? someUpdate();
  const view = await json(`/api/runs/${run}/updates/${update.update}`);
  const page = await open(`/runs/${run}/updates/${update.update.slice(0, 12)}`);
  await page.waitForSelector('[data-testid=fate]');
  assert.equal(await page.locator('.page > section').first().getAttribute('id'), 'verdicts');
  const fate = await page.locator('[data-testid=fate]').innerText();
  const stopped = view.verdicts.filter((verdict) => verdict.weight === 0);
  assert.equal(fate.includes(`Stopped in ${stopped.length} of`), stopped.length > 0, fate);
  await page.waitForSelector('[data-testid=checks][data-failed="0"]');
  // A run of calls of one kind is one row, which opens.
  const { entries } = JSON.parse(view.transcript);
  let longest = 0;
  for (let at = 0, row = 0; at < entries.length; at++) {
    row = entries[at].call === entries[at - 1]?.call ? row + 1 : 1;
    longest = Math.max(longest, row);
  }
  const rows = page.locator('[data-testid=transcript] tbody tr');
  if (longest >= 3) {
    const folded = await rows.count();
    const button = page.locator(`[data-fold="${longest}"] button`).first();
    await button.click();
    assert.equal(await rows.count(), folded + longest);
    assert.equal(await button.getAttribute('aria-expanded'), 'true');
  }
  await page.context().close();
});

test('an accepted update without weight is explained', async (t) => {
  const found = report.arms.flatMap((arm) => arm.rounds.flatMap((round) => round.clients)).find((c) => c.weight === 0 && c.verdict?.effect === 'accept');
  if (found === undefined) return t.skip('this run has none');
  const page = await open(`/runs/${run}/updates/${found.update}`);
  await page.waitForSelector('[data-testid=fate]');
  await page.getByText("the arm's aggregation rule then left it out").first().waitFor();
  await page.context().close();
});

test('a federation shows when each node was heard of, its clock, and how its jobs ended', async (t) => {
  if (server.kind !== 'fixture') return t.skip('needs the fixture: a real server here coordinates nothing');
  const page = await open('/federations');
  await page.getByRole('link', { name: 'hospitals' }).click();
  const rows = page.locator('[data-testid=nodes] tbody tr');
  await rows.first().waitFor();
  const text = async (client) => (await rows.filter({ hasText: client }).innerText()).replace(/\s+/g, ' ');
  assert.match(await text('clinic-a'), /fresh.*4\.0 s ago.*protocol 2.*equal/);
  assert.match(await text('clinic-b'), /late.*2 min 10 s ago.*7 s behind.*31.*2.*8/);
  assert.match(await text('clinic-c'), /silent.*never.*not known/);
  assert.match(await text('clinic-d'), /revoked.*the disk was stolen.*12 s ahead/);
  assert.match(await page.getByTestId('thresholds').innerText(), /within 90 s.*more than 300 s/);
  // A page has so many nodes; the others are one step away, and found by name.
  assert.equal(await rows.count(), 100);
  await page.getByRole('button', { name: 'Further' }).click();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=nodes] tbody tr').length === 24);
  await page.getByLabel('Client').fill('clinic-b');
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=nodes] tbody tr').length === 1);
  assert.match(page.url(), /q=clinic-b/);
  await page.context().close();
});

test('an unsigned module is refused in words', async () => {
  const page = await open('/modules');
  const folder = await mkdtemp(join(tmpdir(), 'fedseal-'));
  const file = join(folder, 'policy.wasm');
  await writeFile(file, Buffer.from('0061736d0d000100', 'hex'));
  await page.setInputFiles('input[name=module]', file);
  await page.getByRole('button', { name: 'Submit' }).click();
  const notice = page.locator('[data-testid=outcome] [role=alert]');
  await notice.waitFor();
  assert.match(await notice.innerText(), /not signed/i);
  await shot(page, 'modules');
  await page.context().close();
});

test('a signed module is registered, the same bytes changed are not', async (t) => {
  const file = join(ROOT, 'target/policies/benign.wasm');
  if (server.kind !== 'real' || !existsSync(file)) return t.skip('needs the real server and built policies');
  const page = await open('/modules');
  const submit = async (module) => {
    await page.setInputFiles('input[name=module]', module);
    await page.setInputFiles('input[name=envelope]', `${file}.dsse.json`);
    await page.getByRole('button', { name: 'Submit' }).click();
  };
  await submit(file);
  await page.getByText('Registered benign').waitFor();
  await page.waitForSelector('[data-testid=modules] tbody tr');
  const bytes = await readFile(file);
  bytes[bytes.length - 1] ^= 1;
  const changed = join(await mkdtemp(join(tmpdir(), 'fedseal-')), 'benign.wasm');
  await writeFile(changed, bytes);
  await submit(changed);
  await page.getByText('changed after it was signed').waitFor();
  assert.equal((await json('/api/modules')).length, 1);
  await page.context().close();
});

test('a missing run, a missing update and a wrong address say so', async () => {
  for (const path of ['/runs/no-such-run', `/runs/${run}/updates/${'0'.repeat(64)}`]) {
    const page = await open(path);
    await page.getByRole('alert').waitFor();
    await page.context().close();
  }
  assert.equal((await fetch(`${base}/nowhere/at/all`)).status, 404);
  assert.equal((await fetch(`${base}/runs/${run}/answers`)).status, 200);
  const page = await open('/nowhere/at/all');
  await page.getByText('No such page').waitFor();
  assert.equal(await page.title(), 'No such page · fedseal');
  await page.context().close();
});

test('each page has its title and its entry in the navigation', async () => {
  const { update } = someUpdate();
  for (const [path, title, entry] of [
    ['/', 'Runs', 'Runs'],
    [`/runs/${run}`, report.title, 'Runs'],
    [`/runs/${run}/answers`, `Answers · ${report.title}`, 'Runs'],
    [`/runs/${run}/updates/${update}`, `Update ${update.slice(0, 12)} · ${run}`, 'Runs'],
    [`/compare?runs=${run}`, `Compare ${run}`, 'Runs'],
    ['/federations', 'Federations', 'Federations'],
    ['/federations/hospitals', 'Federation hospitals', 'Federations'],
    ['/modules', 'Modules', 'Modules'],
  ]) {
    const page = await open(path);
    await page.waitForFunction((wanted) => document.title === wanted, `${title} · fedseal`);
    assert.equal(await page.locator('nav[aria-label=Pages] [aria-current]').innerText(), entry);
    await page.context().close();
  }
});

test('an address with an anchor leads there, and Back to where one was', async () => {
  const page = await open(`/runs/${run}#rounds`);
  const top = (selector) => page.locator(selector).evaluate((element) => Math.round(element.getBoundingClientRect().top));
  await page.waitForSelector('#rounds');
  await page.waitForFunction(() => Math.abs(document.querySelector('#rounds').getBoundingClientRect().top) < 40);
  await page.evaluate(() => scrollBy(0, 120));
  const before = await top('#rounds');
  const update = page.locator('[data-testid=rounds] tbody a[href*="/updates/"]').first();
  await update.evaluate((link) => link.click());
  await page.waitForSelector('[data-testid=statement]');
  assert.equal(await page.evaluate(() => scrollY), 0, 'another page begins at its top');
  await page.goBack();
  await page.waitForSelector('#rounds');
  await page.waitForFunction((was) => Math.abs(document.querySelector('#rounds').getBoundingClientRect().top - was) < 3, before);
  // A jump on the page is an entry of the history, and no new page.
  await page.evaluate(() => scrollTo(0, 0));
  await page.locator('.jump a[href="#evidence"]').click();
  await page.waitForFunction(() => scrollY > 100);
  await page.goBack();
  await page.waitForFunction(() => scrollY === 0);
  await page.reload();
  await page.waitForSelector('#rounds');
  await page.context().close();
});

test('the cursor of a chart stops where something was measured', async () => {
  const measured = (one) => one.arms.flatMap((arm) => arm.rounds.filter((round) => round.safety).map((round) => round.round));
  let sparse;
  for (const { run: name } of await json('/api/runs')) {
    const one = await json(`/api/runs/${name}`);
    if (one.arms?.some((arm) => arm.rounds.some((round) => !round.safety) && arm.rounds.some((round) => round.safety))) sparse = one;
  }
  const shown = sparse ?? report;
  const rounds = new Set(measured(shown));
  const page = await open(`/runs/${shown.served.run}`);
  const chart = page.locator('#by-round [role=slider]').first();
  await chart.scrollIntoViewIfNeeded();
  const axis = (await chart.locator('text').allTextContents()).map((text) => text.trim());
  assert.ok(axis.includes('round') && axis.includes('100%') && axis.some((text) => rounds.has(Number(text))), `the axis: ${axis}`);
  const box = await chart.boundingBox();
  const seen = new Set();
  for (let share = 0.1; share < 0.75; share += 0.02) {
    await page.mouse.move(box.x + box.width * share, box.y + box.height / 2);
    const when = await page.locator('#by-round .when').innerText();
    const round = /after round (\d+)/.exec(when)?.[1];
    if (round === undefined) continue;
    seen.add(Number(round));
    assert.ok(rounds.has(Number(round)), `${when}: not measured`);
    const arm = shown.arms.find((one) => one.kind === 'federated');
    const own = arm.rounds.find((one) => one.round === Number(round))?.safety;
    if (own) assert.match(await page.locator('#by-round .legend button').filter({ hasText: arm.id }).first().innerText(), new RegExp(percentOf(own.hits, own.n)));
  }
  assert.ok(seen.size > 0);
  await page.context().close();
});

test('pages work by keyboard', async () => {
  const page = await open('/');
  await page.waitForSelector('[data-testid=runs]');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
  await page.locator(`a[href="/runs/${run}"]`).focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('[data-testid=results]');
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'MAIN');
  await page.locator('#by-round [role=slider]').first().focus();
  await page.keyboard.press('Home');
  assert.match(await page.locator('#by-round .when').innerText(), /before round/);
  await page.context().close();
});

for (const theme of ['light', 'dark'])
  test(`${theme} theme, 360 px wide: nothing runs off the page, and all can be read`, async () => {
    const update = someUpdate();
    const changed = (await json('/api/runs')).find((r) => r.evidence.state === 'changed')?.run ?? run;
    const other = (await json('/api/runs')).find((r) => r.run !== run)?.run ?? run;
    for (const [name, path] of [['runs', '/'], ['run', `/runs/${run}`], ['changed', `/runs/${changed}`], ['update', `/runs/${run}/updates/${update.update}`], ['answers', `/runs/${run}/answers`], ['compare', `/compare?runs=${run},${other}`], ['federations', '/federations'], ['federation', '/federations/hospitals'], ['modules', '/modules']]) {
      const page = await open(path, { viewport: { width: 360, height: 800 }, colorScheme: theme });
      await page.waitForSelector('h1');
      await page.waitForLoadState('networkidle').catch(() => {});
      await page.waitForTimeout(200);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${path} is ${wide} px too wide`);
      for (const width of [768, 1280, 1440]) {
        await page.setViewportSize({ width, height: 800 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${path} is ${over} px too wide at ${width} px`);
      }
      await page.setViewportSize({ width: 360, height: 800 });
      const [ground, ink] = await page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (colour) => colour.match(/[\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
        return [light(style.backgroundColor), light(style.color)];
      });
      assert.equal(ground > ink, theme === 'light', `${theme} colours`);
      assert.deepEqual(await page.evaluate(faint), [], `${path}: contrast under 4.5 (WCAG 2.2, 1.4.3)`);
      await shot(page, `${name}-360-${theme}`);
      await page.context().close();
    }
    const page = await open(`/runs/${run}`, { colorScheme: theme === 'light' ? 'dark' : 'light' });
    await page.locator('.theme select').selectOption(theme);
    await page.reload();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme, 'the choice is kept');
    await page.waitForSelector('[data-testid=results]');
    await shot(page, `run-${theme}`);
    await page.context().close();
  });
