import { readFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import ts from 'typescript';
import { defineConfig, type Plugin } from 'vite';

/** `pages.json`: the paths of src/pages.ts, for the server that answers with index.html for them. */
function pageList(): Plugin {
  const file = new URL('./src/pages.ts', import.meta.url);
  function paths(): string[] {
    const found: string[] = [];
    const look = (node: ts.Node): void => {
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'path' && ts.isStringLiteral(node.initializer)) found.push(node.initializer.text);
      ts.forEachChild(node, look);
    };
    look(ts.createSourceFile('pages.ts', readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022, true));
    return found;
  }
  return {
    name: 'page-list',
    apply: 'build',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'pages.json', source: `${JSON.stringify(paths(), null, 2)}\n` });
    },
  };
}

// The server embeds dist/ into its binary. One script and one style sheet keep that simple; both
// are small. `npm run dev` talks to FEDSEAL_URL, or to the fixture server (npm run fixtures).
export default defineConfig({
  plugins: [svelte(), pageList()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { '/api': process.env.FEDSEAL_URL ?? 'http://127.0.0.1:8661' },
  },
});
