// Node keys that a reader knows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './module.mjs';

const { enter, keyOf, parsePins, remember, standing } = await load('pins');
const [own, other] = ['a', 'b'].map((digit) => digit.repeat(64));

test('a key is first, then seen; another one is seen until it is entered', () => {
  let pins = parsePins(null);
  assert.equal(standing(pins, 'demo', own), 'first');
  pins = remember(pins, 'demo', own);
  assert.equal(standing(pins, 'demo', own), 'seen');
  assert.equal(standing(remember(pins, 'demo', other), 'demo', other), 'other');
  pins = enter(pins, 'demo', other, other);
  assert.equal(standing(pins, 'demo', other), 'known');
  // Whoever knows keys is told of every run by another one.
  assert.equal(standing(pins, 'new', own), 'other');
  assert.deepEqual(parsePins(JSON.stringify(pins)), pins);
});

test('only keys are taken', () => {
  assert.equal(keyOf(` ${own.toUpperCase()}\n`), own);
  for (const text of ['', 'a', own + 'a', 'g'.repeat(64)]) assert.equal(keyOf(text), null);
  for (const text of ['', 'null', '[]', '7', '{"known":[1,"x"],"last":{"a":2}}', '{"known":7,"last":null}']) assert.deepEqual(parsePins(text), { known: [], last: {} });
});
