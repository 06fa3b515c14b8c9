// The text of a SIP message, and the differences between the received and the sent message.

import { h } from './dom.js';
import { clocked, offset } from './format.js';

/** Line differences by longest common subsequence: [kind, line] with kind ' ', '-' or '+'. */
export function differences(before, after) {
  const [a, b] = [before.split(/\r?\n/), after.split(/\r?\n/)];
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { lines.push([' ', a[i]]); i += 1; j += 1; }
    else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) { lines.push(['-', a[i]]); i += 1; }
    else { lines.push(['+', b[j]]); j += 1; }
  }
  return lines;
}

/**
 * The message on another leg that this one was made of, or became: of the same first line, the nearest on the right side of
 * time. A 200 to an INVITE follows the one that answered.
 */
export function counterpart(entries, place) {
  const entry = entries[place];
  const isOther = (other) => other.kind === 'message' && other.leg !== entry.leg && other.received !== entry.received
    && !other.again && other.text.split(' ')[0] === entry.text.split(' ')[0];
  const near = entry.received ? entries.slice(place + 1) : entries.slice(0, place).reverse();
  const found = near.find(isOther);
  if (found) return found;
  // A response to the caller may be recorded before the response that caused it.
  const rest = entry.received ? entries.slice(0, place).reverse() : entries.slice(place + 1);
  return rest.find((other) => isOther(other) && Math.abs(other.at_us - entry.at_us) < 20_000) || null;
}

function raw(entry) {
  return typeof entry.raw === 'string'
    ? [
      entry.remote ? h('p', { class: 'dim' }, `${entry.transport} ${entry.received ? `${entry.remote} → ${entry.local || 'edge'}` : `${entry.local || 'edge'} → ${entry.remote}`}`) : null,
      h('pre', { tabindex: '0' }, entry.raw),
      entry.cut ? h('p', { class: 'warn' }, `${entry.cut} bytes at the end were not stored.`) : null,
    ]
    : h('p', { class: 'empty' }, 'No text: messages are stored for the newest calls only.');
}

/** Builds the view of a selected message of a call that started at a time. */
export function message(trace, place, began) {
  const entry = trace.entries[place];
  const party = trace.legs[entry.leg] || 'remote party';
  const way = entry.received ? `${party} → edge` : `edge → ${party}`;
  const other = counterpart(trace.entries, place);
  const parts = [h('h3', {}, `${entry.text}  `, h('span', { class: 'dim' }, `${way}, ${clocked(Date.parse(began) + entry.at_us / 1000)}, ${offset(entry.at_us)}${entry.again ? ', retransmission' : ''}`)), raw(entry)];
  if (other && typeof entry.raw === 'string' && typeof other.raw === 'string') {
    const [came, went] = entry.received ? [entry, other] : [other, entry];
    const lines = differences(came.raw, went.raw).filter(([kind, line]) => kind !== ' ' || line !== '');
    const changed = lines.filter(([kind]) => kind !== ' ').length;
    parts.push(h('h3', {}, 'Changes by the edge  ', h('span', { class: 'dim' }, `${trace.legs[came.leg]} → edge → ${trace.legs[went.leg]}`)),
      changed === 0
        ? h('p', { class: 'empty' }, 'No changes.')
        : h('pre', { class: 'diff', tabindex: '0' }, lines.map(([kind, line]) => h('span', { class: kind === '-' ? 'gone' : kind === '+' ? 'new' : null },
          kind === '-' ? h('span', { class: 'unseen' }, 'received: ') : kind === '+' ? h('span', { class: 'unseen' }, 'sent: ') : null, `${kind} ${line}\n`))));
  }
  return parts.flat().filter((part) => part !== null);
}
