// axe-core over every page, in both themes, at three widths. The figure axe.violations is what it says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import axe from 'axe-core';
import { chromium } from 'playwright-core';
import { startServer } from './server.mjs';

let server, browser, run, other, update, arm;
const json = async (path) => (await fetch(server.base + path)).json();

before(async () => {
  server = await startServer();
  // A real run is over when it is looked at.
  await server.ended;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const runs = await json('/api/runs');
  run = runs.find((r) => r.state === 'finished' && r.evidence.state === 'verified').run;
  other = runs.find((r) => r.run !== run)?.run ?? run;
  const report = await json(`/api/runs/${run}`);
  arm = report.arms.find((one) => one.rounds.length > 0 && one.id !== 'clean').id;
  // The clean arm's updates are in the fixture's report only; one that an arm refused says most.
  const clients = report.arms.filter((arm) => arm.id !== 'clean').flatMap((arm) => arm.rounds.flatMap((round) => round.clients)).filter((c) => c.update);
  update = (clients.find((c) => c.verdict?.effect === 'reject') ?? clients[0]).update;
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const PAGES = {
  runs: [() => '/', '[data-testid=runs]'],
  run: [() => `/runs/${run}`, '[data-testid=conclusion]'],
  answers: [() => `/runs/${run}/answers`, '[data-testid=answers]'],
  update: [() => `/runs/${run}/updates/${update}`, '[data-testid=checks][data-failed]'],
  round: [() => `/runs/${run}/arms/${arm}`, '[data-testid=projection]'],
  log: [() => `/runs/${run}/log`, '[data-testid=checks][data-failed]'],
  compare: [() => `/compare?runs=${run},${other}`, '#measures, .notice'],
  federations: [() => '/federations', '[data-testid=federations], .notice'],
  // A real server that coordinates nothing says so.
  federation: [() => '/federations/hospitals', '[data-testid=nodes], [role=alert]'],
  modules: [() => '/modules', '[data-testid=modules], .muted'],
  nowhere: [() => '/nowhere', '.page'],
};

for (const colorScheme of ['light', 'dark'])
  for (const width of [360, 768, 1440])
    test(`no page breaks a rule of WCAG 2.2 AA in the ${colorScheme} theme, ${width} px wide`, async () => {
      const found = [];
      for (const [name, [path, ready]] of Object.entries(PAGES)) {
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
        const page = await context.newPage();
        await page.goto(server.base + path());
        await page.waitForSelector(ready);
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate(() =>
          globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
        );
        for (const { id, nodes } of violations) found.push(`${name}: ${id}: ${nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')} (${nodes.length})`);
        await context.close();
      }
      console.log(`axe.violations ${found.length}`);
      assert.deepEqual(found, []);
    });
