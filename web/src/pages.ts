/**
 * Every page, a line each: the router, the navigation and the titles are made from this list, and so is
 * `pages.json`, by which the server knows the addresses of pages from others (vite.config.ts).
 */
import { page } from './lib/page';
import { ShownLog } from './lib/log.svelte';
import { LiveReport } from './lib/report.svelte';
import { ShownRound } from './lib/round.svelte';
import { Compared, FederationList, ModuleList, RunList, ShownAnswers, ShownFederation, ShownUpdate } from './lib/sources.svelte';
import Answers from './pages/Answers.svelte';
import Compare from './pages/Compare.svelte';
import Federation from './pages/Federation.svelte';
import Federations from './pages/Federations.svelte';
import Log from './pages/Log.svelte';
import Modules from './pages/Modules.svelte';
import Round from './pages/Round.svelte';
import Run from './pages/Run.svelte';
import Runs from './pages/Runs.svelte';
import Update from './pages/Update.svelte';

export const pages = [
  page({ path: '/', entry: 'Runs', load: () => new RunList(), title: () => 'Runs', component: Runs }),
  page({ path: '/runs', entry: 'Runs', load: () => new RunList(), title: () => 'Runs', component: Runs }),
  page({ path: '/runs/:run', entry: 'Runs', load: ({ run }) => new LiveReport(run), title: (live) => live.title, component: Run }),
  page({ path: '/runs/:run/answers', entry: 'Runs', load: ({ run }) => new ShownAnswers(run), title: ({ live }) => `Answers · ${live.title}`, component: Answers }),
  page({ path: '/runs/:run/arms/:arm', entry: 'Runs', load: ({ run, arm }) => new ShownRound(run, arm), title: (shown) => shown.title, component: Round }),
  page({ path: '/runs/:run/log', entry: 'Runs', load: ({ run }) => new ShownLog(run), title: ({ run }) => `Log · ${run}`, component: Log }),
  page({ path: '/runs/:run/updates/:update', entry: 'Runs', load: ({ run, update }) => new ShownUpdate(run, update), title: (shown) => shown.title, component: Update }),
  page({ path: '/compare', entry: 'Runs', load: () => new Compared(), title: (compared) => compared.title, component: Compare }),
  page({ path: '/federations', entry: 'Federations', load: () => new FederationList(), title: () => 'Federations', component: Federations }),
  page({ path: '/federations/:federation', entry: 'Federations', load: ({ federation }) => new ShownFederation(federation), title: ({ federation }) => `Federation ${federation}`, component: Federation }),
  page({ path: '/modules', entry: 'Modules', load: () => new ModuleList(), title: () => 'Modules', component: Modules }),
];
