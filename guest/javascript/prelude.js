// Runs before a policy in JavaScript, and turns what it throws into the reason that is recorded.
import { log, randomU64 } from "fedseal:policy/host@0.1.0";

// The engine's own Math.random goes on from the state that it had when the component was built, so that
// every client would draw alike. These numbers are the run's, and stand in its transcript. A double has 53
// bits, and the host's number arrives rounded to as many: the largest may reach 2^64.
const high = (bits) => Math.min(Math.floor(Number(randomU64()) / 2 ** (64 - bits)), 2 ** bits - 1);
Math.random = () => high(53) / 2 ** 53;

// Exact integers of any width: a draw for each 32 bits, its high half. `new BigUint64Array(1)` takes two.
const words = (bytes) => {
  const view = new DataView(new ArrayBuffer(4));
  for (let at = 0; at < bytes.length; at += 4) {
    view.setUint32(0, high(32), true);
    bytes.set(new Uint8Array(view.buffer, 0, Math.min(4, bytes.length - at)), at);
  }
};
globalThis.crypto = {
  getRandomValues(array) {
    if (!ArrayBuffer.isView(array)) throw new TypeError("getRandomValues fills a typed array");
    words(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array;
  },
};

// A refusal of the host arrives as an error whose payload is the world's `error`.
const refusal = (value) => {
  const { tag, val } = value?.payload ?? {};
  return tag === undefined ? undefined : val === undefined ? String(tag) : `${tag}: ${val}`;
};
const text = (value) => {
  if (typeof value === "string") return value;
  if (value instanceof Error) return refusal(value) ?? String(value.stack || value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // A BigInt, a circle.
    return String(value);
  }
};
const line = (...values) => log(values.map(text).join(" "));
const check = (holds, ...values) => {
  if (!holds) line("assertion failed", ...values);
};
globalThis.console = { assert: check, debug: line, error: line, info: line, log: line, table: line, trace: line, warn: line };

// The world's `run` fails with a text, and the engine ends by a trap for anything else that is thrown.
const reason = (thrown) => {
  if (!(thrown instanceof Error)) return text(thrown);
  const plain = thrown.name === "Error" ? thrown.message : `${thrown.name}: ${thrown.message}`;
  return refusal(thrown) ?? plain;
};
export const guarded = (run) => () => {
  let ended;
  try {
    ended = run();
  } catch (thrown) {
    if (thrown instanceof Error && thrown.stack) log(String(thrown.stack).trim());
    throw reason(thrown);
  }
  if (typeof ended?.then === "function") throw "run returned a promise; a policy's `run` is not async";
};
