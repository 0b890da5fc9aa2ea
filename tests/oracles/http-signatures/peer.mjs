// Signs and verifies requests with http-message-signatures, which fedseal did not write.
//
//     node peer.mjs sign FILE
//     node peer.mjs verify FILE
import { createHash, createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const modules = process.env.FEDSEAL_NODE_PEERS ?? import.meta.dirname;
const require = createRequire(join(modules, 'package.json'));
const { httpbis, createSigner, createVerifier } = require('http-message-signatures');

const [, , what, file] = process.argv;
const job = JSON.parse(readFileSync(file, 'utf8'));

// RFC 8410: the keys' fixed prefixes.
const privateKey = () =>
  createPrivateKey({
    key: Buffer.from('302e020100300506032b657004220420' + job.seed, 'hex'),
    format: 'der',
    type: 'pkcs8',
  });
const publicKey = () =>
  createPublicKey({
    key: Buffer.from('302a300506032b6570032100' + job.public, 'hex'),
    format: 'der',
    type: 'spki',
  });

const always = ['@method', '@authority', '@path', '@query'];
const covered = (request) =>
  request.body ? [...always, 'content-digest', 'content-type'] : always;
const digest = (request) => {
  const sha256 = createHash('sha256').update(Buffer.from(request.body, 'hex')).digest('base64');
  return `sha-256=:${sha256}:`;
};

async function sign(request) {
  const headers = { ...request.headers };
  if (request.body) headers['content-digest'] = digest(request);
  const signed = await httpbis.signMessage(
    {
      key: createSigner(privateKey(), 'ed25519', job.keyid),
      fields: covered(request),
      params: ['created', 'expires', 'nonce', 'alg', 'keyid', 'tag'],
      paramValues: {
        expires: new Date(Date.now() + 120_000),
        nonce: randomBytes(16).toString('base64url'),
        tag: job.tag,
      },
    },
    { method: request.method, url: request.url, headers },
  );
  const address = new URL(request.url);
  return {
    method: request.method,
    secure: address.protocol === 'https:',
    host: address.host,
    target: address.pathname + address.search,
    headers: Object.fromEntries(
      Object.entries(signed.headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    body: request.body,
  };
}

async function verify(request) {
  // The library holds no digest against a body.
  if (request.body && request.headers['content-digest'] !== digest(request)) return 'another body';
  try {
    const good = await httpbis.verifyMessage(
      {
        keyLookup: async ({ keyid }) =>
          keyid === job.keyid
            ? { id: keyid, algs: ['ed25519'], verify: createVerifier(publicKey(), 'ed25519') }
            : null,
        maxAge: 300,
        requiredParams: ['created', 'nonce', 'keyid', 'tag'],
        requiredFields: covered(request),
      },
      { method: request.method, url: request.url, headers: request.headers },
    );
    return good === true ? 'ok' : `not verified: ${good}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const work = { sign, verify }[what];
const answers = [];
for (const request of job.requests) answers.push(await work(request));
console.log(JSON.stringify(answers));
