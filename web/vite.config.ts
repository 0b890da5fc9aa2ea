import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// The server embeds dist/ into its binary. One script and one style sheet keep that simple; both
// are small. `npm run dev` talks to FEDSEAL_URL, or to the fixture server (npm run fixtures).
export default defineConfig({
  plugins: [svelte()],
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
