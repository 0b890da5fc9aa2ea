// The pages in a real Firefox, by WebDriver BiDi: whatever Chromium forgives, another engine may not. FIREFOX names the
// browser, FEDSEAL_FIREFOX_DRIVER the folder where npm put tests/oracles/firefox. What is sent comes through a server of
// this file, which can change a byte of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { ROOT, startServer } from './server.mjs';

const firefox = process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => existsSync(path));
const driver = process.env.FEDSEAL_FIREFOX_DRIVER ?? join(ROOT, 'target/node-firefox');
const missing = !firefox ? 'no Firefox; FIREFOX names one' : !existsSync(join(driver, 'node_modules')) && 'no driver: `npm ci` in tests/oracles/firefox, and FEDSEAL_FIREFOX_DRIVER names it';
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

/**
 * Asks the page until the answer is neither false, null nor nothing. Not by `waitForFunction`: that makes functions of
 * texts, which the policy of the pages forbids.
 */
async function until(page, what, ask, ...given) {
  for (const end = Date.now() + STEP; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const found = await page.evaluate(ask, ...given);
    if (found) return found;
  }
  throw new Error(`${what}: not within ${STEP} ms at ${page.url()}: ${await page.evaluate(() => document.body.innerText.slice(0, 500))}`);
}
const there = (page, selector) => until(page, selector, (wanted) => document.querySelector(wanted) !== null, selector);
const click = async (page, selector) => {
  await there(page, selector);
  await page.evaluate((wanted) => document.querySelector(wanted).click(), selector);
};

test('pages and the exported report work in Firefox', { skip: missing, timeout: 600_000 }, async (t) => {
  const { default: loaded } = await import(pathToFileURL(createRequire(join(driver, 'package.json')).resolve('puppeteer-core')).href);
  const puppeteer = loaded.default ?? loaded;
  const begin = (extraPrefsFirefox = {}) =>
    puppeteer.launch({ browser: 'firefox', executablePath: firefox, headless: true, timeout: START, protocolTimeout: STEP, extraPrefsFirefox });
  const faults = [];
  /** A page whose faults are noted: those of its scripts, and whatever its policy forbids. */
  async function fresh(browser) {
    const page = await browser.newPage();
    page.setDefaultTimeout(STEP);
    page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && faults.push(`${page.url()}: ${message.text()}`));
    await page.evaluateOnNewDocument(() => {
      globalThis.forbidden = [];
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => globalThis.forbidden.push(`${violatedDirective} ${blockedURI}`));
    });
    return page;
  }
  const clean = async (page) => {
    assert.deepEqual(await page.evaluate(() => globalThis.forbidden), [], 'the policy forbids nothing of the page');
    assert.deepEqual(faults.splice(0), []);
  };

  const server = await startServer(6);
  t.after(() => server.close());
  await server.ended;
  const proxy = await between(server.base);
  t.after(() => proxy.close());
  const json = async (path) => (await fetch(server.base + path)).json();
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
    await click(page, `[data-testid=runs] a[href="/runs/${run}"]`);
    await there(page, '[data-testid=results] tbody tr');
    assert.equal(await page.evaluate(() => location.pathname), `/runs/${run}`);
    await there(page, '.tag.good[data-state=finished][data-evidence=verified]');
    await clean(page);
    // The keyboard reaches the way past the navigation, as a person presses it.
    await page.goto(proxy.url);
    await there(page, '[data-testid=runs]');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
    await clean(page);
  });

  await t.test('a round is shown', async () => {
    await page.goto(`${proxy.url}/runs/${run}/arms/${arm.id}`);
    await there(page, '[data-testid=projection]');
    await clean(page);
  });

  const verifier = (await fetch(`${server.base}/verifier.wasm`)).ok;
  await t.test('an update is proved by WebAssembly, and refuted after a changed byte', { skip: verifier ? false : 'verifier.wasm is not built' }, async () => {
    const marks = () => until(page, 'checks', () => {
      const { failed, unknown } = document.querySelector('[data-testid=checks]')?.dataset ?? {};
      return failed === undefined ? null : { failed, unknown, good: document.querySelectorAll('[data-testid=checks] .good').length };
    });
    await page.goto(`${proxy.url}/runs/${run}/updates/${update}`);
    assert.deepEqual(await marks(), { failed: '0', unknown: '0', good: 6 });
    let changed = 0;
    proxy.state.change = (url, body) => {
      const text = body.toString();
      // The number of the first call of the transcript, a digit.
      const other = url.includes('/updates/') ? text.replace('\\"seq\\":0', '\\"seq\\":9') : text;
      changed += other === text ? 0 : 1;
      return other === text ? body : Buffer.from(other);
    };
    await page.goto(`${proxy.url}/runs/${run}/updates/${update}`);
    assert.deepEqual(await marks(), { failed: '1', unknown: '0', good: 5 });
    await there(page, '#checks .notice.bad[role=alert]');
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
      const look = async (path) => {
        await opened.goto(pathToFileURL(path).href);
        return until(opened, 'checks of the file', () => {
          const marks = [...document.querySelectorAll('#checks li')].map((item) => item.className);
          return marks.length === 4 || marks.some((mark) => mark === 'unknown') ? marks : null;
        });
      };
      assert.deepEqual(await look(file), ['good', 'good', 'good', 'good']);
      await clean(opened);
      const text = await readFile(file, 'utf8');
      const copy = join(home, 'changed.html');
      const other = text.replace(/\\"seconds\\":(\d)/, (_, digit) => `\\"seconds\\":${digit === '9' ? '8' : '9'}`);
      assert.notEqual(other, text);
      await writeFile(copy, other);
      assert.equal((await look(copy))[0], 'bad');
    } finally {
      await offline.close();
      await rm(home, { recursive: true, force: true });
    }
  });
});
