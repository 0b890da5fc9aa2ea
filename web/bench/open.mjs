// Time until a run's page is open, of N fresh visits: `node bench/open.mjs URL N`. Prints JSON. It is open when its
// results and its table of updates are there, and the browser has painted them. `heap_mb` is what scripts hold then.
import { STEP, launch } from './browser.mjs';

const [url, times] = [process.argv[2], Number(process.argv[3] ?? 5)];
const browser = await launch();
const found = [];
let heap = 0;
try {
  for (let at = 0; at < times; at++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    page.setDefaultTimeout(STEP);
    await page.addInitScript(() => {
      const seen = new MutationObserver(() => {
        if (!document.querySelector('#results tbody tr') || !document.querySelector('#rounds tbody td a')) return;
        seen.disconnect();
        // The second frame comes after the first was painted.
        requestAnimationFrame(() => requestAnimationFrame(() => (globalThis.opened = performance.now())));
      });
      seen.observe(document, { childList: true, subtree: true });
    });
    await page.goto(url);
    await page.waitForFunction(() => globalThis.opened !== undefined, undefined, { polling: 50 });
    found.push(await page.evaluate(() => globalThis.opened));
    heap = Math.max(heap, await page.evaluate(() => performance.memory.usedJSHeapSize / 2 ** 20));
    await context.close();
  }
} finally {
  await browser.close();
}
const sorted = [...found].sort((a, b) => a - b);
console.log(JSON.stringify({ first: found[0], median: sorted[Math.floor(sorted.length / 2)], heap_mb: heap, times: found.length }));
