// Rows of one kind that follow each other are folded, and none is lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './module.mjs';

const { fold } = await load('fold');

test('three or more of a kind in a row are one fold', () => {
  const folded = (text) => fold([...text], (letter) => letter).map((one) => one.rows.join(''));
  assert.deepEqual(folded('abbbcca'), ['a', 'bbb', 'c', 'c', 'a']);
  assert.deepEqual(folded(''), []);
  assert.deepEqual(folded('aaaa'), ['aaaa']);
  for (const text of ['abab', 'aabbb', 'xxxxxyyyz']) assert.equal(folded(text).join(''), text);
});
