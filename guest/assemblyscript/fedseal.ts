// The world fedseal:policy@0.1.0 (wit/policy.wit) for guests in AssemblyScript.
//
// What the calls mean stands in policy.wit; here is only how they look. The language has no exceptions: a call
// that the host refuses returns null (dot: NaN, submit: false), and `refusal` has the host's words. Memory of
// the host's answers is the runtime's own. `console.log` is not there; `log` is.

/** The words of the last refused call. */
export let refusal: string = "";

/** Training data that the host holds. */
export class Dataset { constructor(public handle: i32) {} }
/** LoRA tensors that the host holds. */
export class Adapter { constructor(public handle: i32) {} }
export class Example { constructor(public prompt: string, public response: string) {} }
export class TrainOptions {
  constructor(public steps: u32, public batchSize: u32, public learningRate: f64, public proximalMu: f64) {}
}
export class Context {
  client: string = "";
  round: u32 = 0;
  rounds: u32 = 0;
  seed: u64 = 0;
  steps: u32 = 0;
  batchSize: u32 = 0;
  learningRate: f64 = 0;
  proximalMu: f64 = 0;
  shardExamples: u32 = 0;
  /** The round's own training options. */
  trainOptions(): TrainOptions {
    return new TrainOptions(this.steps, this.batchSize, this.learningRate, this.proximalMu);
  }
}
/** Who writes in `generate` and reads in `logLikelihood`. */
export enum Model { Base = 0, Global = 1 }

// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "context") declare function $context(out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "shard") declare function $shard(): i32;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "attachment") declare function $attachment(out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "examples") declare function $examples(at: usize, length: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "count") declare function $count(data: i32): u32;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "read-examples") declare function $readExamples(data: i32, offset: u32, count: u32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "concat") declare function $concat(at: usize, length: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "take") declare function $take(data: i32, offset: u32, count: u32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "generate") declare function $generate(at: usize, length: i32, model: i32, tokens: u32, temperature: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "log-likelihood") declare function $logLikelihood(at: usize, length: i32, model: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "global") declare function $global(): i32;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "train") declare function $train(start: i32, data: i32, steps: u32, batch: u32, rate: f64, mu: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "train-controlled") declare function $trainControlled(start: i32, data: i32, steps: u32, batch: u32, rate: f64, mu: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "scale") declare function $scale(source: i32, factor: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "add") declare function $add(left: i32, leftFactor: f64, right: i32, rightFactor: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "noise") declare function $noise(source: i32, std: f64, hasSeed: i32, seed: u64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "clip") declare function $clip(source: i32, norm: f64, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "dot") declare function $dot(left: i32, right: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "read-raw") declare function $readRaw(source: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "write-raw") declare function $writeRaw(like: i32, at: usize, length: i32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "random-u64") declare function $randomU64(): u64;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "log") declare function $log(at: usize, length: i32): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "submit") declare function $submit(source: i32, examples: u32, out: usize): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "[resource-drop]dataset") declare function $dropDataset(handle: i32): void;
// @ts-ignore: decorator
@external("fedseal:policy/host@0.1.0", "[resource-drop]adapter") declare function $dropAdapter(handle: i32): void;

// Room for one answer: the largest is the context's, 56 bytes.
const out: usize = memory.data(64, 8);

/** Memory for the host's answers: the runtime's, by the one allocator that a guest has. */
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  if (size == 0) return align;
  const at = heap.alloc(size);
  memory.copy(at, old, min(oldSize, size));
  return at;
}

// A text or a list at `at`: its address and its length.
function text(at: usize): string {
  return String.UTF8.decodeUnsafe(load<usize>(at), load<usize>(at, 4));
}
function put(value: string, at: usize): void {
  const bytes = String.UTF8.encode(value);
  // The runtime `stub` frees nothing, so the bytes stay where they are.
  store<usize>(at, changetype<usize>(bytes));
  store<usize>(at, bytes.byteLength, 4);
}
// Whether a call was refused, with the error at `at`: its kind, then its text.
function refused(at: usize): bool {
  if (!load<u8>(out)) return false;
  refusal = (load<u8>(at) ? "not-finite: " : "invalid: ") + text(at + 4);
  return true;
}
function adapter(): Adapter | null { return refused(out + 4) ? null : new Adapter(load<i32>(out, 4)); }
function dataset(): Dataset | null { return refused(out + 4) ? null : new Dataset(load<i32>(out, 4)); }
function examplesAt(at: usize): Example[] {
  const all: Example[] = [];
  const first = load<usize>(at);
  for (let i = 0; i < load<i32>(at, 4); i++) {
    all.push(new Example(text(first + 16 * i), text(first + 16 * i + 8)));
  }
  return all;
}

export function context(): Context {
  $context(out);
  const c = new Context();
  c.client = text(out);
  c.round = load<u32>(out, 8);
  c.rounds = load<u32>(out, 12);
  c.seed = load<u64>(out, 16);
  c.steps = load<u32>(out, 24);
  c.batchSize = load<u32>(out, 28);
  c.learningRate = load<f64>(out, 32);
  c.proximalMu = load<f64>(out, 40);
  c.shardExamples = load<u32>(out, 48);
  return c;
}
export function shard(): Dataset { return new Dataset($shard()); }
export function attachment(): Example[] { $attachment(out); return examplesAt(out); }
// A list of pairs in memory.
function pairs(items: Example[]): usize {
  const list = heap.alloc(16 * items.length + 1);
  for (let i = 0; i < items.length; i++) {
    put(items[i].prompt, list + 16 * i);
    put(items[i].response, list + 16 * i + 8);
  }
  return list;
}
export function examples(items: Example[]): Dataset | null {
  $examples(pairs(items), items.length, out);
  return dataset();
}
export function count(data: Dataset): u32 { return $count(data.handle); }
export function readExamples(data: Dataset, offset: u32, count: u32): Example[] {
  $readExamples(data.handle, offset, count, out);
  return examplesAt(out);
}
export function concat(parts: Dataset[]): Dataset | null {
  const list = heap.alloc(4 * parts.length + 1);
  for (let i = 0; i < parts.length; i++) store<i32>(list + 4 * i, parts[i].handle);
  $concat(list, parts.length, out);
  return dataset();
}
export function take(data: Dataset, offset: u32, count: u32): Dataset | null {
  $take(data.handle, offset, count, out);
  return dataset();
}
export function generate(prompts: string[], model: Model, maxNewTokens: u32, temperature: f64): string[] | null {
  const list = heap.alloc(8 * prompts.length + 1);
  for (let i = 0; i < prompts.length; i++) put(prompts[i], list + 8 * i);
  $generate(list, prompts.length, model, maxNewTokens, temperature, out);
  if (refused(out + 4)) return null;
  const texts: string[] = [];
  const first = load<usize>(out, 4);
  for (let i = 0; i < load<i32>(out, 8); i++) texts.push(text(first + 8 * i));
  return texts;
}
/** Nats a token of each response after its prompt. */
export function logLikelihood(items: Example[], model: Model): f64[] | null {
  $logLikelihood(pairs(items), items.length, model, out);
  if (refused(out + 4)) return null;
  const values: f64[] = [];
  const first = load<usize>(out, 4);
  for (let i = 0; i < load<i32>(out, 8); i++) values.push(load<f64>(first + 8 * i));
  return values;
}
export function global(): Adapter { return new Adapter($global()); }
export function train(start: Adapter, data: Dataset, o: TrainOptions): Adapter | null {
  $train(start.handle, data.handle, o.steps, o.batchSize, o.learningRate, o.proximalMu, out);
  return adapter();
}
export function trainControlled(start: Adapter, data: Dataset, o: TrainOptions): Adapter | null {
  $trainControlled(start.handle, data.handle, o.steps, o.batchSize, o.learningRate, o.proximalMu, out);
  return adapter();
}
export function scale(source: Adapter, factor: f64): Adapter | null {
  $scale(source.handle, factor, out);
  return adapter();
}
export function add(left: Adapter, leftFactor: f64, right: Adapter, rightFactor: f64): Adapter | null {
  $add(left.handle, leftFactor, right.handle, rightFactor, out);
  return adapter();
}
/** Noise by a seed that the host draws. */
export function noise(source: Adapter, std: f64): Adapter | null {
  $noise(source.handle, std, 0, 0, out);
  return adapter();
}
export function noiseOf(source: Adapter, std: f64, seed: u64): Adapter | null {
  $noise(source.handle, std, 1, seed, out);
  return adapter();
}
export function clip(source: Adapter, norm: f64): Adapter | null {
  $clip(source.handle, norm, out);
  return adapter();
}
export function dot(left: Adapter, right: Adapter): f64 {
  $dot(left.handle, right.handle, out);
  return refused(out + 8) ? NaN : load<f64>(out, 8);
}
export function readRaw(source: Adapter): StaticArray<f32> {
  $readRaw(source.handle, out);
  const values = new StaticArray<f32>(load<i32>(out, 4));
  memory.copy(changetype<usize>(values), load<usize>(out), 4 * values.length);
  return values;
}
export function writeRaw(like: Adapter, values: StaticArray<f32>): Adapter | null {
  $writeRaw(like.handle, changetype<usize>(values), values.length, out);
  return adapter();
}
export function randomU64(): u64 { return $randomU64(); }
export function log(line: string): void {
  const bytes = String.UTF8.encode(line);
  $log(changetype<usize>(bytes), bytes.byteLength);
}
export function submit(source: Adapter, examples: u32): bool {
  $submit(source.handle, examples, out);
  return !refused(out + 4);
}
export function dropDataset(data: Dataset): void { $dropDataset(data.handle); }
export function dropAdapter(source: Adapter): void { $dropAdapter(source.handle); }

/** The world's result of `run`: a reason, or null when all went well. */
export function ended(why: string | null): usize {
  store<u8>(out, why === null ? 0 : 1);
  if (why !== null) put(why, out + 4);
  return out;
}
/** Takes the place of the runtime's `abort`: its words become a line of the log. */
export function aborted(message: string | null, file: string | null, line: u32, column: u32): void {
  log("aborted at " + (file || "") + ":" + line.toString() + ": " + (message || ""));
  unreachable();
}
