/**
 * Checks in the reader's browser of what a server sent: nothing here believes the server. They are made by
 * client-sdk itself, built to WebAssembly (client-sdk/verifier): the code of `fedseal verify`.
 */

export interface Check {
  claim: string;
  /** null: could not be checked here; `detail` says why. */
  holds: boolean | null;
  detail: string;
}

/** The module's exports. */
export interface Verifier {
  memory: WebAssembly.Memory;
  fedseal_question(length: number): number;
  fedseal_answer(): number;
  fedseal_answer_length(): number;
}

/** The verifier of a module's bytes. It imports nothing. */
export async function instantiate(bytes: ArrayBuffer): Promise<Verifier> {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  return instance.exports as unknown as Verifier;
}

/** Asks what client-sdk's `checks::Question` has; an answer without checks is an error, never a success. */
export function ask(verifier: Verifier, question: unknown): Check[] {
  const text = new TextEncoder().encode(JSON.stringify(question));
  const place = verifier.fedseal_question(text.length) >>> 0;
  new Uint8Array(verifier.memory.buffer, place, text.length).set(text);
  const found = verifier.fedseal_answer() >>> 0;
  const bytes = new Uint8Array(verifier.memory.buffer, found, verifier.fedseal_answer_length());
  const answer = JSON.parse(new TextDecoder().decode(bytes)) as { checks?: Check[]; error?: string };
  if (!answer.checks?.length) throw new Error(answer.error ?? 'The verifier checked nothing.');
  return answer.checks;
}

let loaded: Promise<Verifier> | undefined;

async function load(): Promise<Verifier> {
  const response = await fetch('/verifier.wasm');
  if (!response.ok) throw new Error('This server has no verifier for browsers; `cargo xtask build` makes it.');
  return instantiate(await response.arrayBuffer());
}

/** The checks of a question; one that says why, where they could not be made. */
export async function check(question: unknown): Promise<Check[]> {
  try {
    loaded ??= load();
    return ask(await loaded, question);
  } catch (error) {
    loaded = undefined;
    const why = error instanceof Error ? error.message : String(error);
    return [{ claim: 'Checks in this browser', holds: null, detail: `${why} Use \`fedseal verify\`.` }];
  }
}

/** Whether everything was checked and holds: what alone is shown green. */
export const proven = (checks: Check[]): boolean => checks.length > 0 && checks.every(({ holds }) => holds === true);
