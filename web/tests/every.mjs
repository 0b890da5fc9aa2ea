// Every page of a server, by an address that shows something: for the tests and pictures that go over all of them.

/** Pages of a server by name, each with its path and what it shows when it is there. */
export async function everyPage(server) {
  const json = async (path) => (await fetch(server.base + path)).json();
  // A real run is over when it is looked at.
  await server.ended;
  const runs = await json('/api/runs');
  const { run } = runs.find((r) => r.state === 'finished' && r.evidence.state === 'verified');
  const other = runs.find((r) => r.run !== run)?.run ?? run;
  const report = await json(`/api/runs/${run}`);
  const arm = report.arms.find((one) => one.rounds.length > 0 && one.id !== 'clean').id;
  // The clean arm's updates are in the fixture's report only; one that an arm refused says most.
  const clients = report.arms.filter((one) => one.id !== 'clean').flatMap((one) => one.rounds.flatMap((round) => round.clients)).filter((c) => c.update);
  const { update } = clients.find((c) => c.verdict?.effect === 'reject') ?? clients[0];
  return {
    runs: ['/', '[data-testid=runs]'],
    run: [`/runs/${run}`, '[data-testid=conclusion]'],
    answers: [`/runs/${run}/answers`, '[data-testid=answers]'],
    update: [`/runs/${run}/updates/${update}`, '[data-testid=checks][data-failed]'],
    round: [`/runs/${run}/arms/${arm}`, '[data-testid=projection]'],
    log: [`/runs/${run}/log`, '[data-testid=checks][data-failed]'],
    compare: [`/compare?runs=${run},${other}`, '#measures, .notice'],
    federations: ['/federations', '[data-testid=federations], .notice'],
    // A real server that coordinates nothing says so.
    federation: ['/federations/hospitals', '[data-testid=nodes], [role=alert]'],
    modules: ['/modules', '[data-testid=modules], .muted'],
    nowhere: ['/nowhere', '.page'],
  };
}
