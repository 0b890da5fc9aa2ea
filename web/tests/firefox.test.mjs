// The pages in a real Firefox, by WebDriver BiDi: whatever Chromium forgives, another engine may not. FIREFOX names the
// browser. What is sent comes through a server of this file, which can change a byte of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { firefox } from 'playwright-core';
import { ROOT, startServer } from './server.mjs';

const path = process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((place) => existsSync(place));
/** Milliseconds for a step, and for the browser's start. */
const [STEP, START] = [30_000, 90_000];
/** Every connection fails: a proxy that is not there, for this machine's own addresses too. */
const OFFLINE = {
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1', 'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1', 'network.proxy.ssl_port': 9,
  'network.proxy.allow_hijacking_localhost': true, 'network.proxy.no_proxies_on': '',
};

/** Hands a server's answers on; those that `change` takes are changed. */
async function between(base) {
  const state = { change: null };
  const server = createServer(async (request, response) => {
    try {
      const answer = await fetch(base + request.url, { signal: AbortSignal.timeout(STEP) });
      const headers = Object.fromEntries([...answer.headers].filter(([name]) => !['connection', 'keep-alive', 'content-encoding', 'content-length', 'etag', 'transfer-encoding'].includes(name)));
      const body = Buffer.from(await answer.arrayBuffer());
      response.writeHead(answer.status, headers).end(state.change?.(request.url, body) ?? body);
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { state, url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

test('pages and the exported report work in Firefox', { skip: path ? false : 'no Firefox; FIREFOX names one', timeout: 600_000 }, async (t) => {
  // The system's own browser, and not Playwright's build of one.
  const begin = (firefoxUserPrefs = {}) => firefox.launch({ channel: 'moz-firefox', executablePath: path, headless: true, timeout: START, firefoxUserPrefs });
  const faults = [];
  /** A page whose faults are noted: those of its scripts, and whatever its policy forbids. */
  async function fresh(browser) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    page.setDefaultTimeout(STEP);
    page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && faults.push(`${page.url()}: ${message.text()}`));
    // The policy forbids scripts that are made of texts, so what Playwright asks it asks in a world of its own
    // (locators do); what happens in the page's world is written down where both see it.
    await page.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
        const { dataset } = document.documentElement;
        dataset.forbidden = `${dataset.forbidden ?? ''}${violatedDirective} ${blockedURI}; `;
      }));
    return page;
  }
  const clean = async (page) => {
    assert.equal(await page.locator('html').getAttribute('data-forbidden'), null, `the policy forbids nothing of ${page.url()}`);
    assert.deepEqual(faults.splice(0), []);
  };

  const server = await startServer(6);
  t.after(() => server.close());
  await server.ended;
  const proxy = await between(server.base);
  t.after(() => proxy.close());
  const json = async (place) => (await fetch(server.base + place)).json();
  const run = (await json('/api/runs')).find((one) => one.state === 'finished' && one.evidence.state === 'verified').run;
  const report = await json(`/api/runs/${run}`);
  const arm = report.arms.find((one) => one.rounds.length > 0 && one.id !== 'clean');
  const clients = report.arms.filter((one) => one.id !== 'clean').flatMap((one) => one.rounds.flatMap((round) => round.clients));
  const { update } = clients.find((client) => client.update && client.verdict?.effect === 'reject') ?? clients.find((client) => client.update);
  const browser = await begin();
  t.after(() => browser.close());
  const page = await fresh(browser);

  await t.test('the first page leads to a run', async () => {
    await page.goto(proxy.url);
    await page.locator('[data-testid=runs]').waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.locator(':focus').innerText(), 'Skip to the content');
    await clean(page);
    await page.locator(`[data-testid=runs] a[href="/runs/${run}"]`).click();
    await page.locator('[data-testid=results] tbody tr').first().waitFor();
    assert.equal(new URL(page.url()).pathname, `/runs/${run}`);
    await page.locator('.tag.good[data-state=finished][data-evidence=verified]').waitFor();
    await page.locator('[data-testid=rounds] tbody td a').first().waitFor();
    await clean(page);
  });

  await t.test('a round is shown', async () => {
    await page.goto(`${proxy.url}/runs/${run}/arms/${arm.id}`);
    await page.locator('[data-testid=projection]').waitFor();
    await clean(page);
  });

  const verifier = (await fetch(`${server.base}/verifier.wasm`)).ok;
  await t.test('an update is proved by WebAssembly, and refuted after a changed byte', { skip: verifier ? false : 'verifier.wasm is not built' }, async () => {
    const good = page.locator('[data-testid=checks] .good');
    await page.goto(`${proxy.url}/runs/${run}/updates/${update}`);
    await page.locator('[data-testid=checks][data-failed="0"][data-unknown="0"]').waitFor();
    assert.equal(await good.count(), 6);
    await clean(page);
    let changed = 0;
    proxy.state.change = (url, body) => {
      const text = body.toString();
      // The number of the first call of the transcript, a digit.
      const other = url.includes('/updates/') ? text.replace('\\"seq\\":0', '\\"seq\\":9') : text;
      changed += other === text ? 0 : 1;
      return other === text ? body : Buffer.from(other);
    };
    await page.goto(`${proxy.url}/runs/${run}/updates/${update}`);
    await page.locator('[data-testid=checks][data-failed="1"][data-unknown="0"]').waitFor();
    assert.equal(await good.count(), 5);
    await page.locator('#checks .notice.bad[role=alert]').waitFor();
    proxy.state.change = null;
    assert.equal(changed, 1);
    await clean(page);
  });

  await t.test('the exported report proves itself from disk, with the network off', { skip: server.kind === 'real' && verifier ? false : 'needs the real program and its verifier' }, async () => {
    const home = await mkdtemp(join(tmpdir(), 'fedseal-firefox-'));
    const offline = await begin(OFFLINE);
    try {
      const file = join(home, 'report.html');
      const told = spawnSync(process.env.FEDSEAL, ['report', join(server.folder, run), '--out', file], { cwd: ROOT, encoding: 'utf8', timeout: STEP });
      assert.equal(told.status, 0, told.stderr);
      const opened = await fresh(offline);
      await assert.rejects(opened.goto(server.base), 'the network is off');
      faults.splice(0);
      await opened.goto(pathToFileURL(file).href);
      await opened.locator('#checks li').nth(3).waitFor();
      assert.deepEqual(await opened.locator('#checks li.good').count(), 4, await opened.locator('#checks').innerText());
      await clean(opened);
      const text = await readFile(file, 'utf8');
      const copy = join(home, 'changed.html');
      const other = text.replace(/\\"seconds\\":(\d)/, (_, digit) => `\\"seconds\\":${digit === '9' ? '8' : '9'}`);
      assert.notEqual(other, text);
      await writeFile(copy, other);
      await opened.goto(pathToFileURL(copy).href);
      await opened.locator('#checks li.bad').first().waitFor();
    } finally {
      await offline.close();
      await rm(home, { recursive: true, force: true });
    }
  });
});
