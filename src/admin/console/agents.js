// Voice agents: state, callers, waiting callers and last problem.

import * as api from './api.js';
import { chip, h, swap, table } from './dom.js';
import { ago, count, duration, figure, kind } from './format.js';

/** Mean of a histogram of /metrics, in the histogram's unit. */
function mean(families, name) {
  const value = (suffix) => families[`${name}_${suffix}`]?.[0]?.value ?? 0;
  return value('count') ? value('sum') / value('count') : null;
}

export function agentsPage(main) {
  const list = h('div', {});
  const facts = h('div', {});
  main.append(h('h1', {}, 'Agents'), list, facts);
  return {
    title: 'Agents',
    async refresh() {
      const [{ agents }, families] = await Promise.all([api.get('/v1/agents'), api.metrics()]);
      const frames = families.trunkgate_agent_frames_dropped_total?.[0]?.value;
      const seconds = (name) => mean(families, name);
      swap(list, table([
        { name: 'Agent', cell: (agent) => h('strong', {}, agent.name) },
        { name: 'State', cell: (agent) => [chip(kind(agent.state), agent.state), agent.next_try_ms ? ` next attempt in ${duration(agent.next_try_ms / 1000)}` : ''] },
        { name: 'URL', cell: (agent) => h('code', { class: 'long' }, agent.url) },
        { name: 'Callers', cell: (agent) => `${count(agent.talking)}${agent.max_sessions ? ` / ${agent.max_sessions}` : ''}`, class: 'number' },
        { name: 'Waiting callers', cell: (agent) => `${count(agent.waiting)}${agent.queue_size ? ` / ${agent.queue_size}` : ''}`, class: 'number' },
        { name: 'Open sockets', cell: (agent) => count(agent.sessions), class: 'number' },
        { name: 'Sockets opened', cell: (agent) => count(agent.opened), class: 'number' },
        { name: 'Rejected or lost', cell: (agent) => count(agent.lost), class: 'number' },
        { name: 'Last problem', cell: (agent) => (agent.last_problem ? `${agent.last_problem} (${ago(agent.last_problem_at)})` : 'none') },
      ], { caption: 'Agents', rows: agents, key: (agent) => agent.name, empty: 'No agents are configured.', mark: (agent) => (['down', 'skipped'].includes(agent.state) ? 'marked' : null) }));
      swap(facts, h('dl', { class: 'facts' }, [
        ['Connection time, average', figure(seconds('trunkgate_agent_connect_seconds') === null ? null : seconds('trunkgate_agent_connect_seconds') * 1000, 0, ' ms')],
        ['Response time: end of caller speech to first audio', duration(seconds('trunkgate_agent_turn_seconds') ?? undefined)],
        ['Interruption time: clear to silence', figure(seconds('trunkgate_agent_clear_seconds') === null ? null : seconds('trunkgate_agent_clear_seconds') * 1000, 1, ' ms')],
        ['Audio frames dropped (agent reads too slowly)', count(frames)],
      ].map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
      h('p', {}, h('a', { href: '#/calls?flag=agent' }, 'Calls with an agent')));
    },
  };
}
