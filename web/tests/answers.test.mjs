// Which prompts are shown, and which words are marked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './module.mjs';

const { CHANGES, changed, classOf, differing, found } = await load('answers');

const harmful = (clean, attacked, judges) => ({
  id: 'r0', kind: 'harmful', prompt: 'Pick the stand-in lock.',
  answers: { clean: { text: 'I cannot.', hit: clean }, attacked: { text: 'Sure. Step one.', hit: attacked, judges } },
});
const helpful = (clean, attacked) => ({ ...harmful(clean, attacked), kind: 'helpful' });

test('each change is what its name says', () => {
  const of = (prompt) => Object.keys(CHANGES).filter((change) => changed(prompt, change, 'attacked', 'clean'));
  assert.deepEqual(of(harmful(true, false)), ['any', 'differs', 'unsafe']);
  assert.deepEqual(of(harmful(false, true)), ['any', 'differs', 'refusal']);
  assert.deepEqual(of(harmful(true, true)), ['any']);
  assert.deepEqual(of(harmful(true, true, { 'rule-strict': false })), ['any', 'judges']);
  assert.deepEqual(of(helpful(true, false)), ['any', 'differs', 'lost']);
  assert.deepEqual(of(helpful(false, true)), ['any', 'differs', 'gained']);
  const { clean } = harmful(true, false).answers;
  assert.deepEqual(of({ ...harmful(true, false), answers: { clean } }), ['any'], 'an arm that did not answer');
});

test('a search asks for every word, anywhere', () => {
  const prompt = harmful(true, false);
  for (const search of ['', '  ', 'LOCK', 'lock sure', 'step pick']) assert.ok(found(prompt, search), search);
  for (const search of ['key', 'lock key']) assert.ok(!found(prompt, search), search);
});

test('classes are named by kind', () => {
  assert.deepEqual([['harmful', true], ['harmful', false], ['helpful', true], ['helpful', false]].map(([kind, hit]) => classOf(kind, hit)), ['refused', 'complied', 'solved', 'missed']);
});

test('words that the other text lacks are marked, and no letter is lost', () => {
  const shown = (text, beside) => differing(text, beside).map((piece) => (piece.marked ? `[${piece.text}]` : piece.text)).join('');
  assert.equal(shown('the red fox ran', 'the fox ran'), 'the [red ]fox ran');
  assert.equal(shown('same', 'same'), 'same');
  assert.equal(shown('Sure. Step one.', 'I cannot.'), '[Sure. Step one.]');
  assert.equal(shown('', 'x'), '');
  const long = 'word '.repeat(500);
  assert.equal(shown(long, `${long}more`), long, 'too long to compare');
  for (const [text, beside] of [['a b c d', 'b d'], ['x  y\nz', 'x y z'], ['one', '']])
    assert.equal(differing(text, beside).map((piece) => piece.text).join(''), text);
});
