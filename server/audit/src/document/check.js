'use strict';
// Checks the report that this file carries, with the network off: by client-sdk as WebAssembly, and the rates
// of the results table by the report.
(async () => {
  const text = (id) => document.getElementById(id).textContent.trim();
  const list = document.getElementById('checks');
  list.replaceChildren();
  const say = (holds, claim, detail) => {
    const item = document.createElement('li');
    item.className = holds === null ? 'unknown' : holds ? 'good' : 'bad';
    const mark = holds === null ? '? not checked' : holds ? '✓ holds' : '✕ fails';
    item.textContent = `${mark}: ${claim}. ${detail}`;
    list.append(item);
  };
  const ask = async (question) => {
    const bytes = Uint8Array.from(atob(text('verifier')), (letter) => letter.charCodeAt(0));
    const { exports } = (await WebAssembly.instantiate(bytes, {})).instance;
    const asked = new TextEncoder().encode(question);
    const place = exports.fedseal_question(asked.length) >>> 0;
    new Uint8Array(exports.memory.buffer, place, asked.length).set(asked);
    const found = exports.fedseal_answer() >>> 0;
    const answer = new Uint8Array(exports.memory.buffer, found, exports.fedseal_answer_length());
    const { checks, error } = JSON.parse(new TextDecoder().decode(answer));
    if (!checks || checks.length === 0) throw new Error(error || 'nothing was checked');
    return checks;
  };
  // As server/rules/src/evaluation/percent.rs rounds.
  const share = (hits, n) => {
    const tenths = (2000n * BigInt(hits) + BigInt(n)) / (2n * BigInt(n));
    return `${tenths / 10n}.${tenths % 10n}`;
  };
  const decimal = (value) => (Math.floor(value * 10 + 0.5) / 10).toFixed(1);
  const cell = (rate) =>
    rate && rate.n > 0 ? `${share(rate.hits, rate.n)} (${decimal(rate.low * 100)} to ${decimal(rate.high * 100)})` : 'not measured';
  try {
    const question = text('question');
    for (const { holds, claim, detail } of await ask(question)) say(holds, claim, detail);
    const { report, place } = JSON.parse(question).report;
    const { arms, measures = [] } = JSON.parse(report);
    const rows = [...document.querySelectorAll('#results tr')].slice(1);
    const shown = rows.map((row) => [...row.cells].slice(0, 3 + measures.length).map((one) => one.textContent.replace(/ †$/, '')));
    const wanted = arms.map((arm) => [arm.title, cell(arm.safety), cell(arm.helpfulness), ...measures.map(({ name }) => cell((arm.measures || {})[name]))]);
    const other = wanted.findIndex((row, at) => JSON.stringify(row) !== JSON.stringify(shown[at]));
    if (other >= 0) say(false, 'The results table shows the rates of this report', `it has ${JSON.stringify(shown[other])}, the report ${JSON.stringify(wanted[other])}`);
    else say(rows.length === arms.length, 'The results table shows the rates of this report', `${arms.length} rows`);
    const form = document.getElementById('known');
    form.hidden = false;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const same = form.elements.key.value.trim().toLowerCase() === place.key;
      form.querySelector('output').textContent = same ? '✓ It is the key that signed this run.' : '✕ Another key signed this run.';
    });
  } catch (error) {
    say(null, 'This file', String(error));
  }
})();
