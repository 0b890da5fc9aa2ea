// Shares are rounded as on the command line: both are held against one vector.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from './module.mjs';
import { ROOT } from './server.mjs';

test('shares and decimals are those of the vector', async () => {
  const { share, decimal } = await load('percent');
  const vector = JSON.parse(await readFile(join(ROOT, 'tests/fixtures/percent.json'), 'utf8'));
  assert.ok(vector.shares.length > 8 && vector.decimals.length > 8);
  for (const [hits, n, text] of vector.shares) assert.equal(share(hits, n), text, `${hits} of ${n}`);
  for (const [value, text] of vector.decimals) assert.equal(decimal(value), text, String(value));
});
