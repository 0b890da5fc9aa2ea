// The module that checks proofs, asked by node as the pages ask it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { makeFixture } from '../fixtures/make.mjs';
import { VERIFIER } from '../fixtures/serve.mjs';
import { load } from './module.mjs';

const { ask, instantiate, proven } = await load('verifier');
const { keepHead, parseHeads, headOf, cosigners } = await load('heads');
const { fieldsOf, inWords, tilePath, tiles } = await load('records');
const fixture = makeFixture();
const left = existsSync(VERIFIER) ? false : 'verifier.wasm is not built: `fedseal policy build all` makes it';
const verifier = left ? null : await instantiate((await readFile(VERIFIER)).buffer);

const question = ({ update, envelope, transcript, log }) => ({ update: { update, envelope, transcript, place: log } });
const failing = (one) => ask(verifier, one).flatMap(({ holds }, at) => (holds ? [] : [at]));

test('every update of the fixture is proven, and a changed one is not', { skip: left }, () => {
  for (const { id } of fixture.updates) assert.ok(proven(ask(verifier, question(fixture.update('demo', id)))), JSON.stringify(ask(verifier, question(fixture.update('demo', id))), null, 1));
  const view = fixture.update('demo', fixture.updates[0].id);
  const flip = (hex) => (hex[0] === '0' ? '1' : '0') + hex.slice(1);
  assert.deepEqual(failing(question({ ...view, transcript: view.transcript.replace('"seq":0', '"seq":9') })), [5]);
  assert.deepEqual(failing(question({ ...view, log: { ...view.log, proof: view.log.proof.map(flip) } })), [3]);
  assert.deepEqual(failing(question({ ...view, update: flip(view.update) })), [0, 2]);
});

test('a question that says nothing is never a success', { skip: left }, () => {
  for (const bad of [{}, { update: {} }, { entry: { index: 0 } }, 7]) assert.throws(() => ask(verifier, bad));
  assert.equal(proven([]), false);
});

test('a log that only grew is told from one that was rewritten', { skip: left }, () => {
  for (const old of [1, 2, 5, 8, 13]) {
    const { checkpoint, proof, key } = fixture.growth(old);
    const asked = (note) => ({ consistency: { old: note, new: checkpoint, proof, key } });
    assert.deepEqual(failing(asked(fixture.earlier(old))), [], `${old}`);
    if (old > 1) assert.deepEqual(failing(asked(fixture.earlier(old, true))), [2], `${old}`);
  }
});

test('the last checkpoint of each log is remembered, and nothing else', () => {
  const [older, newer] = [fixture.earlier(3), fixture.earlier(5)];
  const heads = keepHead(keepHead({}, older), newer);
  assert.deepEqual(heads, { 'fedseal.fixture': newer });
  assert.deepEqual(parseHeads(JSON.stringify(heads)), heads);
  for (const bad of [null, '', '[1]', '{"a":"b"}', JSON.stringify({ other: newer })]) assert.deepEqual(parseHeads(bad), {});
  assert.equal(headOf('a\n-1\n'), null);
  assert.deepEqual(cosigners(`${newer}\u2014 witness.test AAAA\n`), ['witness.test']);
});

test('records are told in words, tiles named as their files', () => {
  assert.equal(inWords(fieldsOf('{"type":"verdict","arm":"mine","round":2,"client":"c","effect":"reject","check":"norm","fact":"9 > 1"}')), 'mine, round 2, c: reject by norm: 9 > 1');
  assert.equal(fieldsOf('no json'), null);
  assert.equal(tilePath(1234067), 'x001/x234/067');
  assert.deepEqual(tiles(300).map(({ path }) => path), ['tile/entries/000', 'tile/entries/001.p/44', 'tile/0/000', 'tile/0/001.p/44', 'tile/1/000.p/1']);
  assert.deepEqual(tiles(0), []);
});
