// Ways through the grid of updates by keyboard.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './module.mjs';

const { step } = await load('grid');

test('keys lead from one filled cell to the next', () => {
  const grid = ['.x..x', '.....', 'x..x.'].map((row) => [...row].map((cell) => cell === 'x'));
  for (const [from, key, whole, to] of [
    [[0, 1], 'ArrowRight', false, [0, 4]],
    [[0, 4], 'ArrowRight', false, null],
    [[0, 4], 'ArrowLeft', false, [0, 1]],
    [[0, 4], 'ArrowDown', false, [2, 3]],
    [[0, 1], 'ArrowDown', false, [2, 0]],
    [[2, 0], 'ArrowUp', false, [0, 1]],
    [[0, 1], 'ArrowUp', false, null],
    [[0, 4], 'Home', false, [0, 1]],
    [[2, 0], 'End', false, [2, 3]],
    [[2, 3], 'Home', true, [0, 1]],
    [[0, 1], 'End', true, [2, 3]],
    [[0, 1], 'a', false, null],
  ])
    assert.deepEqual(step(grid, from, key, whole), to, `${key} from ${from}`);
  assert.equal(step([], [0, 0], 'Home', true), null);
});
