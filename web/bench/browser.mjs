// The browser of the measurements. Nothing waits for ever: a step has its time, and so has a script.
import { chromium } from 'playwright-core';

/** Milliseconds for one step, and minutes for a whole script. */
export const STEP = 180_000;
const WHOLE = 9;

export function launch() {
  const late = setTimeout(() => {
    console.error(`not done after ${WHOLE} minutes`);
    // Playwright ends its browser when this process exits.
    process.exit(1);
  }, WHOLE * 60_000);
  late.unref();
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    timeout: 60_000,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--enable-precise-memory-info'],
  });
}
