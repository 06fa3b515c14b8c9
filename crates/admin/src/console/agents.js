// Voice agents: one sortable row each, with the URL and the counters of sockets below the row.

import * as api from './api.js';
import { chip, facts, h, moment, rich, section, swap } from './dom.js';
import { count, duration, figure, kind, lapse, local, masked } from './format.js';
import { lastHour, listing } from './listing.js';
import { spark } from './plot.js';
import { covered, coveredNote, explained, faultChips, faults, lastProblem, latelyIn, markOf, outKind, score, severity, tally } from './trunks.js';

/** Mean of a histogram of /metrics, in the histogram's unit. */
function mean(families, name) {
  const value = (suffix) => families[`${name}_${suffix}`]?.[0]?.value ?? 0;
  return value('count') ? value('sum') / value('count') : null;
}

/** Response time to the caller's speech at a percentile, where the edge measures it per agent: `turn_ms` of /v1/agents. */
function turn(percentile) {
  const value = (agent) => agent.turn_ms?.[percentile] ?? null;
  return {
    name: `Turn ${percentile}`, title: 'End of caller speech to first audio', cell: (agent) => lapse(value(agent)), sort: value, down: true, class: 'number nowrap',
    when: (agents) => agents.some((agent) => agent.turn_ms),
  };
}

function ofLimit(value, limit) {
  return `${count(value)}${limit ? ` / ${count(limit)}` : ''}`;
}

function columns(samples, problems, since) {
  const own = (agent) => faults(agent, problems(), 'agents', covered(since()) !== '1 h');
  const out = (agent) => outKind(agent, problems());
  return [
    { name: 'Agent', cell: (agent) => h('strong', {}, agent.name), sort: (agent) => agent.name },
    { name: 'State', cell: (agent) => [chip(out(agent) || kind(agent.state), agent.state), agent.next_try_ms ? ` next attempt in ${duration(agent.next_try_ms / 1000)}` : '', faultChips(own(agent))], sort: (agent) => severity(out(agent) === 'bad', own(agent), out(agent) !== null) ?? { unknown: 4, up: 5 }[agent.state] ?? 6, wide: true, class: 'head' },
    { name: 'Callers', title: 'Callers connected or being connected, of the limit', cell: (agent) => tally(agent.talking, ofLimit(agent.talking, agent.max_sessions)), sort: (agent) => agent.talking, down: true, class: 'number' },
    { name: 'Waiting', title: 'Callers in its queue, of the limit', cell: (agent) => tally(agent.waiting, ofLimit(agent.waiting, agent.queue_size)), sort: (agent) => agent.waiting, down: true, class: 'number' },
    { ...latelyIn('Calls', since), title: 'Calls with the agent that ended in this time', cell: (agent) => h('a', { href: `#/calls${api.query({ trunk: agent.name, direction: 'received', state: 'ended', within: 3600 })}` }, count(agent.hour.calls_out)), sort: (agent) => agent.hour.calls_out, down: true, class: 'number' },
    turn('p50'), turn('p95'),
    { ...latelyIn('MOS', since), title: 'Mean score of the audio received from the agent', cell: (agent) => score(agent.hour.mos), sort: (agent) => agent.hour.mos, class: 'number', when: (agents) => agents.some((agent) => agent.hour.mos !== null) },
    { name: 'Sockets', title: 'Open sockets, those of forks too', cell: (agent) => tally(agent.sessions), sort: (agent) => agent.sessions, down: true, class: 'number' },
    { name: 'Sockets opened', title: 'Sockets opened since the start', cell: (agent) => tally(agent.opened), sort: (agent) => agent.opened, down: true, class: 'number' },
    { name: 'Sockets lost', title: 'Sockets that the agent rejected or that broke since the start; a caller may have got another target', cell: (agent) => tally(agent.lost), sort: (agent) => agent.lost, down: true, class: 'number' },
    { name: 'Last hour', cell: (agent) => spark(samples(), (sample) => (sample.agents || {})[agent.name] || 0, 'Callers'), wide: true, class: 'roomy' },
    { name: 'Last problem', cell: lastProblem, sort: (agent) => (agent.last_problem_at ? Date.parse(agent.last_problem_at) : null), down: true, wide: true, class: 'own roomy' },
  ];
}

function detail(agent, problems) {
  return h('div', { class: 'details' },
    explained(agent, problems, 'agents'),
    facts([
      ['URL', h('code', { class: 'long' }, agent.url)], ['Sockets', `${count(agent.sessions)} open, ${count(agent.opened)} opened and ${count(agent.lost)} rejected or lost since the start`],
      ['Last problem', agent.last_problem ? [rich(local(masked(agent.last_problem))), ' · ', moment(agent.last_problem_at)] : 'none'],
    ]),
    h('p', {}, h('a', { href: `#/calls${api.query({ trunk: agent.name })}` }, 'Calls with this agent')));
}

export function agentsPage(main, query) {
  const hour = lastHour(api);
  let samples = [];
  let problems = [];
  let since = null;
  const all = h('div', {});
  const note = h('p', { class: 'dim covered' });
  const list = listing(columns(() => samples, () => problems, () => since), {
    page: 'agents', query, opensOne: true, first: 'State', caption: 'Agents', name: 'agent', key: (agent) => agent.name, detail: (agent) => detail(agent, problems), empty: ['No agents are configured. An agent is a voice bot behind a WebSocket (or plain RTP): add a section ', h('code', {}, '[agent.NAME]'), ' with its ', h('code', {}, 'url'), ' and ', h('code', {}, 'connect = ["agent:NAME"]'), ' to a route, then reload.'],
    mark: (agent) => markOf(outKind(agent, problems) === 'bad', faults(agent, problems, 'agents'), outKind(agent, problems) !== null),
  });
  const figures = section('All agents', all);
  main.append(h('h1', {}, 'Agents'), list.node, note, figures);
  return {
    title: 'Agents',
    mistakes: list.mistakes,
    async refresh() {
      const [{ agents, since: first }, status, families, past] = await Promise.all([api.get('/v1/agents'), api.get('/v1/status'), api.metrics(), hour()]);
      problems = status.problem_details;
      samples = past;
      since = first;
      swap(note, coveredNote(since));
      list.show(agents);
      const ms = (name) => (mean(families, name) === null ? null : mean(families, name) * 1000);
      figures.hidden = agents.length === 0;
      swap(all, facts([
        ['Connection time, average', figure(ms('trunkgate_agent_connect_seconds'), 0, ' ms')],
        ['Response time, average: end of caller speech to first audio', duration(mean(families, 'trunkgate_agent_turn_seconds') ?? undefined)],
        ['Interruption time, average: clear to silence', figure(ms('trunkgate_agent_clear_seconds'), 1, ' ms')],
        ['Audio frames dropped (agent reads too slowly)', count(families.trunkgate_agent_frames_dropped_total?.[0]?.value)],
      ]), h('p', {}, h('a', { href: '#/calls?flag=agent' }, 'Calls with an agent')));
    },
  };
}
