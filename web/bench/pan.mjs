// Frames a second while a run's overview is panned and zoomed, and while the cursor moves over its chart by round:
// `node bench/pan.mjs URL SECONDS`. Prints JSON; `longest_ms` is the longest time between two frames. A browser
// without a screen makes at most 60 a second.
import { STEP, launch } from './browser.mjs';

const [url, seconds] = [process.argv[2], Number(process.argv[3] ?? 4)];
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(STEP);
  await page.goto(url);
  const overview = page.locator('[data-testid=overview] [role=slider]');
  await overview.waitFor();
  await page.waitForSelector('#rounds tbody td a');

  /** Frames while something is done again and again; `act` gets how far the time is, in [0, 1]. */
  async function frames(act) {
    await page.evaluate(() => {
      globalThis.frames = [];
      const next = (time) => {
        globalThis.frames?.push(time);
        if (globalThis.frames) requestAnimationFrame(next);
      };
      requestAnimationFrame(next);
    });
    const began = performance.now();
    for (let share = 0; share < 1; share = (performance.now() - began) / (1000 * seconds)) await act(share);
    const times = await page.evaluate(() => {
      const { frames } = globalThis;
      globalThis.frames = null;
      return frames;
    });
    const gaps = times.slice(1).map((time, at) => time - times[at]);
    return { fps: (1000 * gaps.length) / (times.at(-1) - times[0]), longest_ms: Math.max(...gaps) };
  }

  await overview.scrollIntoViewIfNeeded();
  const box = await overview.boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.keyboard.down('Control');
  const zoomed = await frames((share) => page.mouse.wheel(0, share < 0.5 ? -12 : 12));
  for (let n = 0; n < 10; n++) await page.mouse.wheel(0, -60);
  await page.keyboard.up('Control');
  await page.mouse.move(x, y);
  await page.mouse.down();
  const panned = await frames((share) => page.mouse.move(x + 0.45 * box.width * Math.sin(12 * share), y));
  await page.mouse.up();

  const chart = page.locator('#by-round [role=slider]').first();
  await chart.scrollIntoViewIfNeeded();
  const at = await chart.boundingBox();
  const cursor = await frames((share) => page.mouse.move(at.x + at.width * (0.4 + 0.3 * Math.sin(12 * share)), at.y + at.height / 2));
  console.log(JSON.stringify({
    fps: Math.min(zoomed.fps, panned.fps), longest_ms: Math.max(zoomed.longest_ms, panned.longest_ms), cursor_fps: cursor.fps,
  }));
} finally {
  await browser.close();
}
