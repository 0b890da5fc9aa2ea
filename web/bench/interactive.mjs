// Time until the first page answers, of N fresh visits: `node bench/interactive.mjs BASE N`. Prints JSON.
// A page answers when its list is there, its script has run, and the browser has painted what came of a key.
import { STEP, launch } from './browser.mjs';

const [base, times] = [process.argv[2], Number(process.argv[3] ?? 20)];
const browser = await launch();
const found = [];
try {
  for (let at = 0; at < times; at++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(STEP);
    await page.addInitScript(() => {
      const seen = new MutationObserver(() => {
        if (!document.querySelector('[data-testid=runs] a, .notice')) return;
        seen.disconnect();
        // The second frame comes after the first was painted.
        requestAnimationFrame(() => requestAnimationFrame(() => (globalThis.interactive = performance.now())));
      });
      seen.observe(document, { childList: true, subtree: true });
    });
    await page.goto(base);
    await page.waitForFunction(() => globalThis.interactive !== undefined, undefined, { polling: 20 });
    found.push(await page.evaluate(() => globalThis.interactive));
    await context.close();
  }
} finally {
  await browser.close();
}
found.sort((a, b) => a - b);
console.log(JSON.stringify({ median: found[Math.floor(found.length / 2)], most: found.at(-1), times: found.length }));
