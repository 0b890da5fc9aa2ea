// The part of a long row of rounds that a drawing shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './module.mjs';

const { around, within, zoom } = await load('view');

test('a view never leaves its rounds, and all of them fit', () => {
  assert.deepEqual(within({ left: -5, scale: 0 }, 1000, 500), { left: 0, scale: 0.5 });
  assert.deepEqual(within({ left: 2000, scale: 5 }, 1000, 500), { left: 900, scale: 5 });
  assert.equal(within({ left: 0, scale: 900 }, 1000, 500).scale, 24);
  // A few rounds are as wide as the drawing.
  assert.deepEqual(within({ left: 3, scale: 1 }, 10, 500), { left: 0, scale: 50 });
});

test('what is under the pointer stays there', () => {
  const before = { left: 100, scale: 2 };
  const after = zoom(before, 3, 120, 1000, 500);
  assert.equal(after.scale, 6);
  assert.ok(Math.abs(after.left + 120 / after.scale - (before.left + 120 / before.scale)) < 1e-9);
  assert.deepEqual(zoom(after, 0.001, 400, 1000, 500), { left: 0, scale: 0.5 });
});

test('a window has its round in the middle, where there is room', () => {
  assert.deepEqual([around(500, 30, 1000), around(3, 30, 1000), around(999, 30, 1000), around(5, 30, 10)], [485, 0, 970, 0]);
});
