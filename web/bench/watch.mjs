// Watches a run's feed N times at once: `node bench/watch.mjs URL N`. Ends when it is told to on standard input,
// and prints how many feeds were open and how many events came, as JSON. Addresses of the loopback network are
// taken in turn: a server bounds the feeds of one.
import { get } from 'node:http';

const [url, wanted] = [process.argv[2], Number(process.argv[3])];
const OF_ADDRESS = 12;
/** Milliseconds after which it ends by itself. */
const LONGEST = 600_000;
let open = 0;
let events = 0;
const refused = new Map();
for (let at = 0; at < wanted; at++) {
  const localAddress = `127.0.1.${1 + Math.floor(at / OF_ADDRESS)}`;
  get(url, { localAddress, agent: false }, (response) => {
    if (response.statusCode !== 200) {
      refused.set(response.statusCode, (refused.get(response.statusCode) ?? 0) + 1);
      response.resume();
      return;
    }
    open += 1;
    response.on('data', (bytes) => {
      // Without a text of it: the clients share the machine with what is measured.
      for (let at = bytes.indexOf('\ndata:'); at >= 0; at = bytes.indexOf('\ndata:', at + 1)) events += 1;
    });
    response.on('error', () => {});
  }).on('error', (error) => refused.set(error.code, (refused.get(error.code) ?? 0) + 1));
}
function end() {
  console.log(JSON.stringify({ open, events, refused: Object.fromEntries(refused) }));
  process.exit(0);
}
process.stdin.once('data', end);
// Whoever began this is gone, or forgot it.
process.stdin.once('end', end);
setTimeout(end, LONGEST);
