// Differences of runs: intervals are those of the paper, and of the command line.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from './module.mjs';
import { ROOT } from './server.mjs';

const { difference, isSeen, settings } = await load('compare');

/** Wilson's interval (server/rules/src/evaluation/wilson.rs). */
function wilson([hits, n]) {
  const z = 1.959963984540054, rate = hits / n, d = 1 + (z * z) / n;
  const centre = (rate + (z * z) / (2 * n)) / d;
  const half = (z / d) * Math.sqrt((rate * (1 - rate)) / n + (z * z) / (4 * n * n));
  return { hits, n, rate, low: hits === 0 ? 0 : centre - half, high: hits === n ? 1 : centre + half };
}

test('intervals are those of the vector', async () => {
  const { rows } = JSON.parse(await readFile(join(ROOT, 'tests/fixtures/difference.json'), 'utf8'));
  assert.ok(rows.length > 5);
  for (const [first, second, low, high] of rows) {
    const found = difference(wilson(first), wilson(second));
    assert.ok(Math.abs(found.low - low) < 6e-5 && Math.abs(found.high - high) < 6e-5, JSON.stringify([first, second, found]));
    assert.equal(isSeen(found), low > 0);
  }
});

test('only settings that differ are named, lists as one value', () => {
  const one = { rounds: 3, lora: { rank: 8, targets: ['q', 'v'] }, same: { deep: 1 } };
  const other = { rounds: 5, lora: { rank: 8, targets: ['q'] }, same: { deep: 1 }, more: true };
  assert.deepEqual(settings([one, other]), [
    { key: 'lora.targets', values: [['q', 'v'], ['q']] },
    { key: 'more', values: [undefined, true] },
    { key: 'rounds', values: [3, 5] },
  ]);
  assert.deepEqual(settings([one, one]), []);
});
