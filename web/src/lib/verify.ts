/**
 * Checks of one update, done in the reader's browser from the bytes the server sent: nothing here
 * believes the server. Hashes are WebCrypto's; browsers offer it to https and localhost pages only,
 * elsewhere every check answers "not checked" and says why.
 */
import type { UpdateView } from './names';

export interface Check {
  claim: string;
  /** null: could not be checked here; `detail` says why. */
  holds: boolean | null;
  detail: string;
}

const utf8 = new TextEncoder();

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', join(...parts)));
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

function fromHex(text: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error(`not lowercase hex: ${text.slice(0, 20)}`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const fromBase64 = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** RFC 6962, section 2.1: leaves and inner nodes are hashed with different first bytes. */
const leafHash = (entry: Uint8Array) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left: Uint8Array, right: Uint8Array) => sha256(Uint8Array.of(1), left, right);

/** RFC 9162, section 2.1.3.2: the root that `proof` gives for leaf `index` of a tree of `size`. */
export async function rootFromInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: Uint8Array[],
): Promise<Uint8Array> {
  if (index >= size) throw new Error(`leaf ${index} is outside a tree of ${size}`);
  let first = BigInt(index);
  let last = BigInt(size) - 1n;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0n) throw new Error('the proof is too long');
    if ((first & 1n) === 1n || first === last) {
      hash = await nodeHash(sibling, hash);
      while ((first & 1n) === 0n && first !== 0n) {
        first >>= 1n;
        last >>= 1n;
      }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    first >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw new Error('the proof is too short');
  return hash;
}

async function ed25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array) {
  const imported = await crypto.subtle.importKey('raw', join(key), { name: 'Ed25519' }, false, [
    'verify',
  ]);
  return crypto.subtle.verify({ name: 'Ed25519' }, imported, join(signature), join(message));
}

/** DSSE v1's pre-authentication encoding: what a signature of an envelope is really over. */
function pae(type: string, payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${utf8.encode(type).length} ${type} ${payload.length} `;
  return join(utf8.encode(head), payload);
}

/**
 * The raw text of each transcript entry. The chain is over their canonical bytes, so they are cut
 * out of the text as they stand instead of being printed again from parsed values.
 */
export function transcriptEntries(text: string): string[] {
  const entries: string[] = [];
  const start = text.indexOf('"entries":[');
  if (start < 0) throw new Error('the transcript has no entries');
  let depth = 0;
  let quoted = false;
  let from = -1;
  for (let at = start + '"entries":['.length; at < text.length; at++) {
    const letter = text[at];
    if (quoted) {
      if (letter === '\\') at++;
      else if (letter === '"') quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === '{' || letter === '[') {
      if (depth++ === 0) from = at;
    } else if (letter === '}' || letter === ']') {
      if (depth === 0) return entries;
      if (--depth === 0) entries.push(text.slice(from, at + 1));
    }
  }
  throw new Error('the transcript ends too early');
}

async function check(claim: string, test: () => Promise<[boolean, string]>): Promise<Check> {
  try {
    const [holds, detail] = await test();
    return { claim, holds, detail };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // A browser without Ed25519 is no reason to call a signature wrong.
    const unsupported = error instanceof DOMException && error.name === 'NotSupportedError';
    return {
      claim,
      holds: unsupported ? null : false,
      detail: unsupported ? 'This browser does not know Ed25519.' : reason,
    };
  }
}

export async function verifyUpdate(view: UpdateView): Promise<Check[]> {
  if (globalThis.crypto?.subtle === undefined) {
    const detail =
      'Browsers offer cryptography to https and localhost pages only. Use `fedseal verify`.';
    return [{ claim: 'Checks in this browser', holds: null, detail }];
  }
  const { predicate } = view.statement;
  const { log } = view;
  const entry = utf8.encode(log.entry);
  const transcript = view.transcript;

  return Promise.all([
    check('The envelope is the one this update is named by', async () => {
      const digest = hex(await sha256(utf8.encode(view.envelope)));
      return [digest === view.update, `SHA-256 of its bytes: ${digest}`];
    }),
    check("The node's signature covers the statement", async () => {
      const envelope = JSON.parse(view.envelope) as {
        payloadType: string;
        payload: string;
        signatures: { keyid: string; sig: string }[];
      };
      const payload = fromBase64(envelope.payload);
      const signed = JSON.parse(new TextDecoder().decode(payload)) as typeof view.statement;
      const same = signed.predicate.transcript.root === predicate.transcript.root;
      const signature = envelope.signatures[0];
      if (signature === undefined) return [false, 'The envelope has no signature.'];
      const message = pae(envelope.payloadType, payload);
      const valid = await ed25519(fromHex(signed.predicate.node), message, fromBase64(signature.sig));
      return [valid && same, `Ed25519, node key ${signed.predicate.node.slice(0, 16)}…`];
    }),
    check('The log entry names this attestation', async () => {
      const record = JSON.parse(log.entry) as { type: string; attestation: string };
      return [
        record.type === 'update' && record.attestation === view.update,
        `entry ${log.index}, record type ${record.type}`,
      ];
    }),
    check('The entry is in the log that the checkpoint names', async () => {
      const [, size, root] = log.checkpoint.split('\n');
      const leaf = await leafHash(entry);
      const computed = await rootFromInclusion(leaf, log.index, log.size, log.proof.map(fromHex));
      const claimed = hex(fromBase64(root ?? ''));
      return [
        hex(computed) === claimed && Number(size) === log.size,
        `${log.proof.length} hashes lead to root ${hex(computed).slice(0, 16)}… of ${log.size} entries`,
      ];
    }),
    check("The checkpoint carries the log key's signature", async () => {
      const end = log.checkpoint.indexOf('\n\n');
      const text = log.checkpoint.slice(0, end + 1);
      const line = log.checkpoint.slice(end + 2).split('\n')[0] ?? '';
      const [, name, encoded] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? [];
      if (name === undefined || encoded === undefined) return [false, 'No signature line.'];
      const blob = fromBase64(encoded);
      const key = fromHex(log.key);
      const id = (await sha256(utf8.encode(`${name}\n`), Uint8Array.of(1), key)).slice(0, 4);
      const valid =
        hex(id) === hex(blob.slice(0, 4)) &&
        (await ed25519(key, utf8.encode(text), blob.slice(4)));
      return [valid, `signed note of ${name}, key ${log.key.slice(0, 16)}…`];
    }),
    check('The transcript is the one the statement commits to', async () => {
      let link = await sha256(utf8.encode('fedseal-transcript-v1'));
      const entries = transcriptEntries(transcript);
      for (const text of entries) link = await sha256(link, utf8.encode(text));
      const blob = hex(await sha256(utf8.encode(transcript)));
      return [
        hex(link) === predicate.transcript.root &&
          blob === predicate.transcript.blob &&
          entries.length === predicate.transcript.entries,
        `chain of ${entries.length} host calls ends in ${hex(link).slice(0, 16)}…`,
      ];
    }),
  ]);
}
