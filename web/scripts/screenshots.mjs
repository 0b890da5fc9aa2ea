// Pictures of every page, in both themes at three widths, to be looked at: `node scripts/screenshots.mjs DIR`. The
// server is that of the tests (tests/server.mjs).
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, STEP } from '../bench/browser.mjs';
import { everyPage } from '../tests/every.mjs';
import { startServer } from '../tests/server.mjs';

const folder = process.argv[2];
await mkdir(folder, { recursive: true });
const server = await startServer();
const browser = await launch();
let made = 0;
try {
  const pages = await everyPage(server);
  for (const colorScheme of ['light', 'dark'])
    for (const width of [360, 1280, 2560])
      for (const [name, [path, ready]] of Object.entries(pages)) {
        // What moves is over at once.
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' });
        const page = await context.newPage();
        page.setDefaultTimeout(STEP);
        await page.goto(server.base + path);
        await page.waitForSelector(ready);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        await context.close();
        made += 1;
      }
} finally {
  await browser.close();
  await server.close();
}
console.log(`${made} pictures in ${folder}`);
