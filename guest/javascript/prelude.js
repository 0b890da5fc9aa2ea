// Runs before a policy in JavaScript.
import { log, randomU64 } from "fedseal:policy/host@0.1.0";

// The engine's own Math.random goes on from the state that it had when the component was built, so that
// every client would draw alike. These numbers are the run's, and stand in its transcript. A double has 53
// bits, and the host's number arrives rounded to as many: the largest may reach 2^64.
Math.random = () => Math.min(Math.floor(Number(randomU64()) / 2 ** 11), 2 ** 53 - 1) / 2 ** 53;

const text = (value) => {
  if (typeof value === "string") return value;
  if (value instanceof Error) return String(value.stack || value);
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
