// A call's ladder: one column for each leg and one for the edge, one row for each entry. A click on a message row shows the message
// beside the ladder, or below it where the screen is narrow.

import { h, s } from './dom.js';
import { masked, offset } from './format.js';
import { message } from './message.js';

const ROW = 24;
/** Widths: the time, a column, a remark beside its row, a character of it. With less space than that remarks are below their rows. */
const TIME = 84;
const NARROW_TIME = 70;
const COLUMN = { least: 112, most: 170, narrow: 72 };
const NOTE = 250;
const CHAR = 6.7;
/** Characters per line of a remark at most, characters of a remark, and the distance of its lines. */
const NOTE_CHARS = 64;
const NOTE_TEXT = 384;
const NOTE_PITCH = 15;
const HEAD = 34;
const PAUSE = 14;
/** A longer pause than this is shown as a gap between two rows. */
const PAUSE_US = 1_000_000;

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Returns the remark beside a row, without its fix, which the verdict shows. */
function remark(trace, entry) {
  if (entry.kind === 'message') return masked(entry.note);
  // The section Webhooks has the body.
  if (entry.kind === 'webhook') return masked(entry.text.split('\n')[0]);
  const who = entry.kind === 'decision' ? '' : `${trace.legs[entry.leg]}: `;
  return masked(`${who}${entry.text.split('; try: ')[0]}`).replaceAll('`', '');
}

/** Wraps a remark at words; the tooltip has the full text. */
function folded(text, chars) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1];
    if (last && last.length + 1 + word.length > chars) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  const most = Math.ceil(NOTE_TEXT / chars);
  if (lines.length > most) {
    lines.length = most;
    lines[most - 1] += ' …';
  }
  return lines.map((line) => cut(line, chars + 4));
}

/** Columns: the first leg, the edge, the other legs. */
function columnOf(leg) {
  return leg === 0 ? 0 : leg + 1;
}

function label(trace, entry) {
  const party = trace.legs[entry.leg];
  const at = offset(entry.at_us);
  if (entry.kind === 'message') {
    const way = entry.received ? `from ${party}` : `to ${party}`;
    return `${at}, ${entry.text} ${way}${entry.again ? ', retransmission' : ''}${entry.note ? `, ${entry.note}` : ''}`;
  }
  return `${at}, ${party && entry.leg !== undefined ? `${party}: ` : ''}${masked(entry.text)}`;
}

function arrow(entry, x, y) {
  const [edge, leg] = [x(1), x(columnOf(entry.leg))];
  const [from, to] = entry.received ? [leg, edge] : [edge, leg];
  const tip = to > from ? -7 : 7;
  const code = Number(entry.text.slice(0, 3));
  const kind = code >= 400 ? 'bad' : code >= 200 ? 'good' : code >= 100 ? 'dim' : '';
  return [
    s('line', { x1: from, x2: to + tip / 2, y1: y, y2: y, class: `arrow ${kind}${entry.again ? ' again' : ''}` }),
    s('path', { d: `M${to} ${y}l${tip} -4v8z`, class: `tip ${kind}` }),
    s('text', { x: (from + to) / 2, y: y - 4, class: `on ${kind}`, 'text-anchor': 'middle' }, cut(entry.text, Math.max(15, Math.floor(Math.abs(to - from) / 7.4)))),
  ];
}

/** Divides the width: distance of the columns, and the place and the characters of remarks. */
function layout(columns, room) {
  if (room >= TIME + columns * COLUMN.least + NOTE) {
    const apart = Math.min(COLUMN.most, (room - TIME - NOTE) / columns);
    const beside = TIME + columns * apart;
    return { time: TIME, apart, beside, below: 0, width: room, chars: Math.min(NOTE_CHARS, Math.floor((room - beside - 12) / CHAR)) };
  }
  const apart = Math.max(COLUMN.narrow, Math.min(COLUMN.most, (room - NARROW_TIME) / columns));
  return { time: NARROW_TIME, apart, beside: 12, below: NOTE_PITCH + 2, width: Math.max(room, NARROW_TIME + columns * apart), chars: Math.floor((room - 24) / CHAR) };
}

/** Draws one entry at a height: time, arrow or event, remark. A message can be chosen. */
function row(trace, place, at, { x, width, timeWidth, beside, below, notes, extra }, choose) {
  const entry = trace.entries[place];
  const isMessage = entry.kind === 'message';
  const inner = [
    s('rect', { x: 0, y: at - ROW + 8, width, height: ROW + extra(place), class: 'hit' }),
    s('text', { x: timeWidth - 6, y: at, class: 'time', 'text-anchor': 'end' }, offset(entry.at_us)),
  ];
  const lines = notes[place].map((line, down) => s('tspan', { x: beside, y: at + below + down * NOTE_PITCH }, line));
  // Below its row a remark lies across the columns: their lines end behind it.
  const longest = Math.max(...notes[place].map((line) => line.length));
  if (below && longest) inner.unshift(s('rect', { x: beside - 4, y: at + below - 12, width: Math.min(longest * CHAR + 8, width - beside), height: notes[place].length * NOTE_PITCH + 2, class: 'paper' }));
  if (isMessage) {
    inner.push(...arrow(entry, x, at), s('text', { class: 'note' }, lines));
  } else {
    const column = entry.leg === undefined ? 1 : columnOf(entry.leg);
    inner.push(s('circle', { cx: x(column), cy: at - 4, r: 4, class: `event ${entry.kind}` }), s('text', { class: `note ${entry.kind}` }, lines));
  }
  const group = s('g', isMessage
    ? { class: 'row opens', tabindex: '0', role: 'button', 'aria-label': label(trace, entry), 'data-key': `row ${place}`, 'data-row': place, 'data-at': entry.at_us }
    : { class: 'row', role: 'listitem', 'aria-label': label(trace, entry), 'data-at': entry.at_us },
  s('title', {}, label(trace, entry)), inner);
  if (!isMessage) return group;
  group.addEventListener('click', () => choose(place));
  group.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    choose(place);
  });
  return group;
}

/** Draws the ladder at a width and, beside or below it, the selected message. */
export function ladder(trace, state, given) {
  const columns = trace.legs.length + 1;
  const isBeside = given >= 1000;
  // Of a wide page the ladder has three fifths, as in style.css; the border of its box is 2 pixels.
  const { time: timeWidth, apart, beside, below, width, chars } = layout(columns, Math.floor(isBeside ? (given - 14) * 0.6 : given) - 2);
  const x = (column) => timeWidth + apart / 2 + column * apart;
  let y = HEAD + 6;
  let before = null;
  const notes = trace.entries.map((entry) => folded(remark(trace, entry), chars));
  const extra = (place) => (notes[place].length - 1) * NOTE_PITCH + (notes[place][0] ? below : 0);
  const rows = trace.entries.map((entry, place) => {
    if (before !== null && entry.at_us - before > PAUSE_US) y += PAUSE;
    before = entry.at_us;
    y += ROW;
    const at = y;
    y += extra(place);
    return at;
  });
  const height = y + 18;
  const names = [trace.legs[0], 'edge', ...trace.legs.slice(1)];
  const parts = names.flatMap((name, column) => [
    s('text', { x: x(column), y: 20, class: `party${column === 1 ? ' own' : ''}`, 'text-anchor': 'middle' }, cut(name || 'caller', Math.floor(apart / 7.4))),
    s('line', { x1: x(column), x2: x(column), y1: HEAD, y2: height - 6, class: `pole${column === 1 ? ' own' : ''}` }),
  ]);
  const detail = h('div', { class: 'message', role: 'region', 'aria-label': 'Selected message' });
  const groups = [];
  const show = (place) => {
    state.chosen = place;
    groups.forEach((group, at) => group && group.classList.toggle('chosen', at === place));
    const back = h('button', { type: 'button', class: 'quiet back', on: { click: () => { groups[place].scrollIntoView({ block: 'center' }); groups[place].focus({ preventScroll: true }); } } }, '↑ Ladder');
    detail.replaceChildren(back, ...message(trace, place));
  };
  const choose = (place) => {
    show(place);
    detail.scrollTop = 0;
    if (!isBeside) detail.scrollIntoView({ block: 'start' });
  };
  const frame = { x, width, timeWidth, beside, below, notes, extra };
  trace.entries.forEach((entry, place) => {
    const group = row(trace, place, rows[place], frame, choose);
    if (entry.kind === 'message') groups[place] = group;
    parts.push(group);
  });
  const svg = s('svg', { class: 'ladder', width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': `Ladder: ${names.join(', ')}` }, parts);
  if (Number.isInteger(state.chosen) && trace.entries[state.chosen]?.kind === 'message') show(state.chosen);
  else detail.append(h('p', { class: 'empty' }, 'Select a message of the ladder (click, or Tab and Enter) to see its text and the changes by the edge.'));
  return [
    trace.dropped ? h('p', { class: 'warn' }, `${trace.dropped} earlier entries were dropped.`) : null,
    h('div', { class: isBeside ? 'ladder-pair' : null },
      h('div', { class: 'scroll ladder-box', 'data-scroll': 'ladder', tabindex: '0', role: 'region', 'aria-label': 'Ladder, scrolls horizontally' }, svg), detail),
  ];
}
