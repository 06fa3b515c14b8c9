// System: version, configuration, reload, drain, listeners and process.

import * as api from './api.js';
import { chip, confirmed, facts, h, moment, rich, say, section, swap, table } from './dom.js';
import { bytes, count, duration, kind, many, maskNumbers, masked, numbersAreMasked } from './format.js';
import { problemList } from './problems.js';

/** Days until the certificate expires, as in `status`; null without a certificate. */
function certificate(days) {
  if (days === null) return '–';
  if (days < 0) return chip('bad', 'expired');
  if (days < 30) return chip(days < 7 ? 'bad' : 'warn', `${many(days, 'day')} left`);
  if (days >= 36500) return 'no expiry within 100 years';
  return days >= 3650 ? `${Math.floor(days / 365)} years left` : `${many(days, 'day')} left`;
}

/** Kinds that are problems of the machine, of each kind of harm. */
const OWN_KINDS = ['calls_refused', 'recordings_have_gaps', 'recordings_cut', 'calls_cut_short', 'certificate_ends', 'certificate_rejected', 'acme', 'tls'];

/** Problems of the machine and of what is written: disks, records, certificates, the configuration. */
function own(problems) {
  return problems.filter(({ harm, kind: of, trunk, agent, app }) => !trunk && !agent && !app && (['edge', 'restart', 'records', 'configuration', 'telemetry'].includes(harm) || OWN_KINDS.includes(of)));
}

/** The file from which calls continue after a crash, or why there is none. */
function savedCalls(state) {
  if (!state) return 'off: a crash ends all calls';
  return state.failing ? chip('bad', 'not written') : `${many(state.calls, 'call')}, ${bytes(state.bytes)}, last written within ${state.lag_ms.toFixed(0)} ms`;
}

/** The calls of an earlier process: how many continue, and the lost ones with their reasons. */
function takenOver(report) {
  if (!report) return null;
  const event = report.after === 'crash' ? 'Crash' : 'Upgrade';
  const lost = report.refused ? chip('bad', 'unknown', `saved state not used: ${report.refused}`) : report.lost ? chip('bad', count(report.lost)) : 'none';
  const age = report.oldest_state_ms === null ? [] : [['Age of the oldest saved state', `${count(report.oldest_state_ms)} ms`]];
  const named = report.lost_calls.length ? table([
    { name: 'Lost call', cell: (one) => h('code', {}, one.sid) }, { name: 'Reason', cell: (one) => one.reason },
  ], { caption: 'Lost calls', rows: report.lost_calls, key: (one) => one.sid }) : null;
  return [facts([[event, moment(report.at)], ['Continued', many(report.continued, 'call')], ['Lost', lost], ...age]), named];
}

/** The last reload, which was rejected, and why; the problem above has since when, and the fix. */
function rejected(status) {
  return [chip('bad', 'rejected'), ' ', rich(masked(status.config.last_reload_error))];
}

export function systemPage(main, query, kept, again) {
  const parts = Object.fromEntries(['head', 'problems', 'config', 'drain', 'kept', 'listeners', 'process'].map((name) => [name, h('div', {})]));
  const outcome = h('div', { 'aria-live': 'polite' });
  let cpu = null;
  let drained = null;
  let areShown = false;
  const warnings = h('div', {});

  async function reload() {
    try {
      const done = await api.post('/v1/reload');
      const rest = (done.needs_restart || []).length ? [h('p', { class: 'warn' }, 'Restart required for: '), h('ul', {}, done.needs_restart.map((one) => h('li', {}, h('code', {}, one))))] : [];
      const changed = Array.isArray(done.changed) && done.changed.length ? h('ul', {}, done.changed.map((one) => h('li', {}, typeof one === 'string' ? one : JSON.stringify(one)))) : h('p', {}, 'No changes.');
      swap(outcome, h('p', { class: 'good' }, `Reloaded: ${done.trunks} trunks, ${done.routes} routes, ${done.warnings} ${done.warnings === 1 ? 'warning' : 'warnings'}. Live calls are not affected.`), changed, rest);
    } catch (error) {
      if (error.status === 0) swap(outcome, h('p', { class: 'bad' }, h('strong', {}, 'The edge does not answer'), ': it is not known whether it has reloaded. Try again once it answers.'));
      else swap(outcome, h('p', { class: 'bad' }, 'Reload rejected; configuration unchanged.'), h('pre', {}, error.message));
    }
    again();
  }

  /** Shows the warnings of the file, or hides them. */
  async function showWarnings() {
    areShown = !areShown;
    if (areShown) {
      const all = await api.get('/v1/warnings').catch((error) => ({ warnings: [error.message] }));
      swap(warnings, h('ul', { class: 'warnings' }, all.warnings.map((one) => h('li', {}, masked(one)))));
    }
    again();
  }

  async function drain(on) {
    if (on && !await confirmed('Drain?', 'The edge answers new calls with 503, so that the carrier tries its next destination. Live calls continue.', 'Drain')) return;
    try {
      const { calls } = await api.post('/v1/drain', { on });
      drained = on ? calls : null;
      say(on ? `Draining: ${many(calls, 'call')} ${calls === 1 ? 'continues' : 'continue'}.` : 'New calls are accepted again.');
    } catch (error) {
      say(error.message, true);
    }
    again();
  }

  function drainPart(status) {
    if (status.state !== 'draining') return [h('p', {}, `${many(status.calls, 'live call')}. `, h('span', { class: 'dim' }, 'To drain before maintenance: new calls get 503, so that carriers try their next destination; live calls continue.')), h('button', { type: 'button', class: 'danger', key: 'drain', back: 'undrain', sends: true, on: { click: () => drain(true) } }, 'Drain')];
    const most = Math.max(drained || 0, status.calls);
    return [
      h('p', { class: 'verdict warn' }, status.calls === 0 ? 'Drained: no live calls. The edge can be stopped.' : `Draining: ${many(status.calls, 'call')} left${most > status.calls ? ` of ${count(most)}` : ''}.`),
      h('progress', { max: most || 1, value: (most - status.calls) || (most ? 0 : 1), 'aria-label': 'Ended calls' }), ' ',
      h('button', { type: 'button', class: 'main', key: 'undrain', back: 'drain', sends: true, on: { click: () => drain(false) } }, 'Accept calls again'),
    ];
  }

  main.append(h('h1', {}, 'System'), parts.head, parts.problems, section('Configuration', parts.config, outcome), section('Drain', parts.drain), section('Calls over restarts', parts.kept), section('Listeners', parts.listeners), section('Process', parts.process));
  const page = {
    title: 'System',
    async refresh() {
      const [status, families] = await Promise.all([api.get('/v1/status'), api.metrics()]);
      const value = (name) => families[name]?.[0]?.value ?? 0;
      const sum = (name) => (families[name] || []).reduce((all, one) => all + one.value, 0);
      swap(parts.head, facts([
        ['Edge', status.edge], ['Version', status.version], ['State', chip(kind(status.state), status.state)], ['Uptime', duration(status.uptime_seconds)], ['Started', moment(status.started_at)],
        ['Phone numbers', h('button', { type: 'button', class: 'quiet', key: 'mask', on: { click: () => { maskNumbers(!numbersAreMasked()); again(); } } }, numbersAreMasked() ? 'masked (show in full)' : 'in full (mask)')],
      ]));
      const wrong = own(status.problem_details);
      swap(parts.problems, problemList(wrong));
      swap(parts.config, facts([
        ['File', h('code', {}, status.config.path)], ['Loaded', moment(status.config.loaded_at)], ['Warnings', status.config.warnings ? h('button', { type: 'button', class: 'quiet', key: 'warnings', 'aria-expanded': String(areShown), on: { click: showWarnings } }, `${count(status.config.warnings)} ${areShown ? '▴' : '▾'}`) : 'none'],
        ['Last reload', status.config.last_reload_success ? chip('good', 'successful') : rejected(status)],
        ...(status.config.restart_needed.length ? [['Restart required for', status.config.restart_needed.map((one) => [h('code', {}, one), ' '])]] : []),
      ]), areShown && status.config.warnings ? warnings : null, h('button', { type: 'button', class: 'main', key: 'reload', sends: true, on: { click: reload } }, 'Reload'));
      swap(parts.drain, drainPart(status));
      swap(parts.kept, facts([['Saved', savedCalls(status.call_state)]]), takenOver(status.taken_over));
      swap(parts.listeners, table([
        { name: 'Name', cell: (one) => one.name }, { name: 'Transport', cell: (one) => one.transport }, { name: 'Address', cell: (one) => h('code', {}, one.address) },
        { name: 'Certificate', cell: (one) => certificate(one.certificate_days) },
      ], { caption: 'Listeners', rows: status.listeners, key: (one) => one.name }));
      const now = { at: Date.now(), used: value('process_cpu_seconds_total') };
      const share = cpu && now.at > cpu.at ? (100_000 * (now.used - cpu.used)) / (now.at - cpu.at) : null;
      cpu = now;
      const unwritten = wrong.find(({ kind: of }) => ['recordings_not_written', 'calls_refused'].includes(of));
      swap(parts.process, facts([
        ['Memory', bytes(value('process_resident_memory_bytes'))], ['CPU', share === null ? `${duration(now.used)} in total` : `${share.toFixed(0)} % of one core`],
        ['Open files', count(value('process_open_fds'))], ['Media ports', `${count(status.media.ports_in_use)} of ${count(status.media.ports)}`], ['Media sessions', count(status.media.sessions)],
        ['Packet buffers', count(value('trunkgate_packet_buffers_in_use'))], ['SIP transactions', count(value('trunkgate_sip_transactions_active'))],
        ...(unwritten ? [['Recordings', chip('bad', 'not written', masked(unwritten.evidence || ''))]] : []), ['Call records waiting', count(sum('trunkgate_cdr_waiting'))], ['Call records lost', count(sum('trunkgate_cdr_lost_total'))], ['Log lines lost', count(value('trunkgate_log_lines_lost_total'))], ['Panics', count(value('trunkgate_panics_total'))],
      ]));
    },
  };
  return page;
}
