// Addresses of pages: the server has the same rule (server/app/src/http/pages.rs).
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { load } from './module.mjs';

const { match } = await load('match');

test('a pattern fits its paths alone, and gives their values', () => {
  assert.deepEqual(match('/', '/'), {});
  assert.deepEqual(match('/modules', '/modules/'), {});
  assert.deepEqual(match('/runs/:run', '/runs/demo~seed-1'), { run: 'demo~seed-1' });
  assert.deepEqual(match('/runs/:run/updates/:update', '/runs/a%2Fb/updates/00'), { run: 'a/b', update: '00' });
  assert.deepEqual(match('/runs/:run', '/runs/%'), { run: '%' }, 'no address is a fault');
  for (const [pattern, path] of [['/', '/x'], ['/modules', '/modules/x'], ['/runs/:run', '/runs'], ['/runs/:run/answers', '/runs/x/answer']])
    assert.equal(match(pattern, path), null, `${pattern} ${path}`);
});

test('the build lists every page of the table', async () => {
  const list = JSON.parse(await readFile(new URL('../dist/pages.json', import.meta.url), 'utf8'));
  const table = await readFile(new URL('../src/pages.ts', import.meta.url), 'utf8');
  assert.equal(list.length, table.match(/^ {2}page\(/gm).length);
  for (const path of ['/', '/runs/:run', '/runs/:run/updates/:update', '/modules']) assert.ok(list.includes(path), path);
});
