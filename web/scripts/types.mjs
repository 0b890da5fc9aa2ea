// Makes src/lib/types.ts from docs/openapi.json, which is made from the server's Rust types. With --check
// it compares instead, and fails where the file is not what it would make.
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';

const source = new URL('../../docs/openapi.json', import.meta.url);
const target = new URL('../src/lib/types.ts', import.meta.url);

// Seeds have 64 bits; `parseJson` keeps the digits of those that a double cannot hold.
const { number, string } = {
  number: ts.factory.createKeywordTypeNode(ts.SyntaxKind.NumberKeyword),
  string: ts.factory.createKeywordTypeNode(ts.SyntaxKind.StringKeyword),
};
const tree = await openapiTS(source, {
  alphabetize: true,
  // A field that is always sent says so in `required`; a default says what a reader of files takes for it.
  defaultNonNullable: false,
  transform: (_, { path }) => (path?.endsWith('/schemas/Seed') ? ts.factory.createUnionTypeNode([number, string]) : undefined),
});
const text = `// Made by \`npm run types\` from docs/openapi.json. Short names are in names.ts.\n\n${astToString(tree)}`;
if (!process.argv.includes('--check')) await writeFile(target, text);
else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
  console.error('src/lib/types.ts is not what docs/openapi.json says; make it again: npm run types');
  process.exit(1);
}
