// The fixture sends what the server does: its answers are held against the description of the interface.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveFixture } from '../fixtures/serve.mjs';
import { ROOT } from './server.mjs';

const document = JSON.parse(await readFile(join(ROOT, 'docs/openapi.json'), 'utf8'));

/** First place where a value lacks a field or has one that is not described, or is of another type. */
function problem(schema, value, at) {
  if (schema === undefined || schema === true) return null;
  if (schema.$ref) return problem(document.components.schemas[schema.$ref.split('/').at(-1)], value, at);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) {
    const problems = options.map((option) => problem(option, value, at));
    return problems.includes(null) ? null : problems.join(' or ');
  }
  if (schema.allOf) {
    // Each part describes some of the fields.
    const [all, ...more] = schema.allOf.map((part) => (part.$ref ? document.components.schemas[part.$ref.split('/').at(-1)] : part));
    const joined = { ...all, properties: Object.assign({}, all.properties, ...more.map((part) => part.properties)) };
    return problem({ ...joined, required: [...all.required, ...more.flatMap((part) => part.required)] }, value, at);
  }
  if (schema.const !== undefined && schema.const !== value) return `${at} is not ${schema.const}`;
  const is = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const types = [schema.type ?? is].flat().map((type) => (type === 'integer' ? 'number' : type));
  // Seeds of 64 bits are texts in JavaScript.
  if (!types.includes(is) && !at.endsWith('/seed')) return `${at} is ${is}, not ${types}`;
  if (is === 'array') return value.map((element, n) => problem(schema.items, element, `${at}/${n}`)).find((found) => found) ?? null;
  if (is !== 'object') return null;
  for (const name of schema.required ?? []) if (!(name in value)) return `${at} lacks ${name}`;
  for (const [name, inner] of Object.entries(value)) {
    const known = schema.properties?.[name] ?? schema.additionalProperties;
    if (schema.properties && !known) return `${at}/${name} is not described`;
    const found = problem(known || undefined, inner, `${at}/${name}`);
    if (found) return found;
  }
  return null;
}

test('answers of the fixture are as described', async () => {
  const fixture = await serveFixture();
  try {
    const ask = async (path, template, method = 'get', init) => {
      const response = await fetch(fixture.url + path, init);
      const described = document.paths[template][method].responses[response.status];
      assert.ok(described, `${path}: ${response.status} is not described`);
      const [type] = response.headers.get('content-type').split(';');
      assert.ok(described.content[type], `${path}: ${type}`);
      const value = await response.json();
      assert.equal(problem(described.content[type].schema, value, path), null);
      return value;
    };
    for (const { run } of await ask('/api/runs', '/api/runs')) {
      const report = await ask(`/api/runs/${run}`, '/api/runs/{run}');
      await ask(`/api/runs/${run}/index`, '/api/runs/{run}/index');
      await ask(`/api/runs/${run}/arms/krum/grid`, '/api/runs/{run}/arms/{arm}/grid');
      await ask(`/api/runs/${run}/arms/krum/rounds?from=1&count=2`, '/api/runs/{run}/arms/{arm}/rounds');
      await ask(`/api/runs/${run}/answers`, '/api/runs/{run}/answers');
      const { update } = report.arms.find((arm) => arm.id === 'provenance').rounds[0].clients[0];
      await ask(`/api/runs/${run}/updates/${update}`, '/api/runs/{run}/updates/{update}');
      await ask(`/api/runs/${run}/arms/provenance/rounds/0`, '/api/runs/{run}/arms/{arm}/rounds/{round}');
      await ask(`/api/runs/${run}/entries?from=2&count=3`, '/api/runs/{run}/entries');
      await ask(`/api/runs/${run}/entries/2`, '/api/runs/{run}/entries/{index}');
      await ask(`/api/runs/${run}/growth?old=3`, '/api/runs/{run}/growth');
      await ask(`/api/runs/${run}/updates/${update}/envelope`, '/api/runs/{run}/updates/{update}/envelope');
    }
    await ask('/api/modules', '/api/modules');
    for (const { name } of await ask('/api/federations', '/api/federations')) await ask(`/api/federations/${name}`, '/api/federations/{federation}');
    await ask('/api/federations/none', '/api/federations/{federation}');
    await ask('/api/runs/none', '/api/runs/{run}');
    await ask('/api/modules', '/api/modules', 'post', { method: 'POST', body: '{}' });
    assert.match(problem({ $ref: '#/components/schemas/Share' }, { hits: 1 }, ''), /lacks/);
  } finally {
    fixture.close();
  }
});
