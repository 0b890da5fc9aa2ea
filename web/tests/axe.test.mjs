// axe-core over every page, in both themes, at three widths. The figure axe.violations is what it says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import axe from 'axe-core';
import { chromium } from 'playwright-core';
import { everyPage } from './every.mjs';
import { startServer } from './server.mjs';

let server, browser, pages;

before(async () => {
  server = await startServer();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  pages = await everyPage(server);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

for (const colorScheme of ['light', 'dark'])
  for (const width of [360, 768, 1440])
    test(`no page breaks a rule of WCAG 2.2 AA in the ${colorScheme} theme, ${width} px wide`, async () => {
      const found = [];
      for (const [name, [path, ready]] of Object.entries(pages)) {
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
        const page = await context.newPage();
        await page.goto(server.base + path);
        await page.waitForSelector(ready);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) found.push(`${name}: ${wide} px wider than the window (1.4.10, reflow)`);
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
