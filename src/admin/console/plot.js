// Lines over time, drawn as SVG at the width there is, each with its text as an alternative.

import { h, s } from './dom.js';
import { many } from './format.js';

const COLOURS = 6;
const EDGES = { left: 44, right: 8, top: 8, bottom: 20 };

/** The next of 1, 2, 5 × 10ⁿ. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value - power * 1e-9);
}

function hour(at, withSeconds) {
  const options = { hour: '2-digit', minute: '2-digit', hour12: false };
  if (withSeconds) options.second = '2-digit';
  return new Date(at).toLocaleTimeString(undefined, options);
}

/** Describes a plot in words, for screen readers. */
function words(plot) {
  const parts = plot.series.map(({ name, points }) => {
    const known = points.filter(([, value]) => value !== null);
    if (known.length === 0) return `${name}: no data`;
    const last = known[known.length - 1];
    const most = known.reduce((a, b) => (b[1] > a[1] ? b : a));
    const least = known.reduce((a, b) => (b[1] < a[1] ? b : a));
    const write = (value) => value.toFixed(plot.digits) + plot.unit;
    return `${name}: last ${write(last[1])}, highest ${write(most[1])} at ${hour(most[0])}, lowest ${write(least[1])} at ${hour(least[0])}`;
  });
  return `${plot.title}. ${parts.join('. ')}.`;
}

function draw(svg, plot, width, readout) {
  const height = plot.height;
  const inner = { w: Math.max(40, width - EDGES.left - EDGES.right), h: height - EDGES.top - EDGES.bottom };
  const all = plot.series.flatMap(({ points }) => points);
  const from = plot.from ?? Math.min(...all.map(([at]) => at));
  const to = Math.max(plot.to ?? Math.max(...all.map(([at]) => at)), from + 1000);
  const floor = plot.floor;
  const most = Math.max(plot.most ?? 0, ...all.map(([, value]) => value ?? 0));
  const top = plot.ceiling ?? floor + nice(Math.max(most - floor, 1e-9));
  const x = (at) => EDGES.left + ((at - from) / (to - from)) * inner.w;
  const y = (value) => EDGES.top + inner.h - ((Math.min(Math.max(value, floor), top) - floor) / (top - floor)) * inner.h;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('height', height);
  const parts = [];
  for (const part of [0, 0.5, 1]) {
    const value = floor + (top - floor) * part;
    parts.push(s('line', { x1: EDGES.left, x2: width - EDGES.right, y1: y(value), y2: y(value), class: 'grid' }));
    parts.push(s('text', { x: EDGES.left - 6, y: y(value) + 3.5, class: 'tick', 'text-anchor': 'end' }, `${Number(value.toFixed(2))}${plot.unit.trim().length <= 2 ? plot.unit : ''}`));
  }
  const ticks = Math.max(2, Math.min(6, Math.floor(inner.w / 90)));
  for (let n = 0; n <= ticks; n += 1) {
    const at = from + ((to - from) * n) / ticks;
    const anchor = n === 0 ? 'start' : n === ticks ? 'end' : 'middle';
    parts.push(s('text', { x: x(at), y: height - 5, class: 'tick', 'text-anchor': anchor }, hour(at, to - from < 600_000)));
  }
  // The first series is drawn on top.
  plot.series.map((one, place) => [one, place]).reverse().forEach(([{ points, dashed }, place]) => {
    const colour = `s${place % COLOURS}`;
    let path = '';
    let pen = false;
    for (const [at, value] of points) {
      if (value === null) { pen = false; continue; }
      path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = true;
    }
    const known = points.filter(([, value]) => value !== null);
    if (plot.series.length === 1 && known.length > 1 && known.length === points.length) {
      parts.push(s('path', { d: `${path}L${x(known[known.length - 1][0])} ${y(floor)}L${x(known[0][0])} ${y(floor)}Z`, class: `area ${colour}` }));
    }
    parts.push(s('path', { d: path, class: `line ${colour}${dashed ? ' dashed' : ''}` }));
    // A point without neighbours is drawn as a dot.
    points.forEach(([at, value], n) => {
      const alone = (points[n - 1]?.[1] ?? null) === null && (points[n + 1]?.[1] ?? null) === null;
      if (value !== null && (alone || (plot.marks && value > 0))) {
        parts.push(s('circle', { cx: x(at), cy: y(value), r: 2.5, class: `dot ${colour}` }));
      }
    });
  });
  const cursor = s('line', { y1: EDGES.top, y2: EDGES.top + inner.h, class: 'cursor', visibility: 'hidden' });
  parts.push(cursor);
  svg.replaceChildren(...parts);
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const at = from + ((event.clientX - box.left - EDGES.left) / inner.w) * (to - from);
    const nearest = all.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a), all[0]);
    if (!nearest) return;
    cursor.setAttribute('x1', x(nearest[0]));
    cursor.setAttribute('x2', x(nearest[0]));
    cursor.setAttribute('visibility', 'visible');
    const values = plot.series.map(({ name, points }) => {
      const point = points.find(([when]) => when === nearest[0]);
      return point && point[1] !== null ? `${plot.series.length > 1 ? `${name} ` : ''}${point[1].toFixed(plot.digits)}${plot.unit}` : null;
    });
    readout.textContent = `${hour(nearest[0], true)}  ${values.filter(Boolean).join(' · ')}`;
  };
  svg.onpointerleave = () => {
    cursor.setAttribute('visibility', 'hidden');
    readout.textContent = '';
  };
}

/**
 * A plot. {title, series: [{name, points: [[ms, value or null]], dashed?}], unit?, digits?, floor?, most?, ceiling?, from?, to?,
 * height?, marks?, note?}
 */
export function plot(given) {
  const what = { unit: '', digits: 0, floor: 0, height: 140, ...given };
  const svg = s('svg', { role: 'img', 'aria-label': words(what), preserveAspectRatio: 'none' });
  const readout = h('span', { class: 'readout', 'aria-hidden': 'true' });
  const isEmpty = what.series.every(({ points }) => points.every(([, value]) => value === null));
  const legend = what.series.length > 1
    ? h('ul', { class: 'legend' }, what.series.map(({ name, dashed }, place) => h('li', {},
      s('svg', { width: 18, height: 8, 'aria-hidden': 'true' }, s('line', { x1: 0, x2: 18, y1: 4, y2: 4, class: `line s${place % COLOURS}${dashed ? ' dashed' : ''}` })), name)))
    : null;
  const figure = h('figure', { class: 'plot' },
    h('figcaption', {}, h('span', { class: 'name' }, what.title), readout),
    isEmpty ? h('p', { class: 'empty' }, what.note || 'No data yet.') : svg, isEmpty ? null : legend);
  if (!isEmpty) {
    let width = 0;
    new ResizeObserver(([entry]) => {
      const now = Math.floor(entry.contentRect.width);
      if (now > 0 && now !== width) {
        width = now;
        draw(svg, what, now, readout);
      }
    }).observe(figure);
  }
  return figure;
}

/** Bars of equal width: [{label, value, mark?}]; a click on one calls `choose(place)`. */
export function bars(title, all, choose) {
  const most = Math.max(1, ...all.map(({ value }) => value));
  return h('figure', { class: 'bars' }, h('figcaption', {}, title),
    h('div', { class: 'row' }, all.map(({ label, value, mark }, place) => {
      const bar = h('span', { class: 'bar', 'aria-hidden': 'true' });
      bar.style.height = `${Math.round((value / most) * 48)}px`;
      return h('button', {
        type: 'button', class: mark ? 'chosen' : null, key: `bar ${label}`, 'aria-pressed': mark ? 'true' : 'false',
        'aria-label': `${many(value, 'call')} of ${label}`, title: `${many(value, 'call')} of ${label}`, on: { click: () => choose(place) },
      }, h('span', { class: 'many', 'aria-hidden': 'true' }, value || ''), bar, h('span', { class: 'label', 'aria-hidden': 'true' }, label));
    })));
}
