// Recordings, those of a call and single ones: each with a player below its waveform, on the time axis of the call. The browser's audio
// element sends no token: a cookie opens the audio of one recording for an hour.

import * as api from './api.js';
import { chip, facts, h, say, swap } from './dom.js';
import { duration, figure, offset, words } from './format.js';

/** Place of the times below the waveform. */
const TICKS = 16;
/** Seconds of the arrow keys and of Page up and Page down. */
const STEP = 5;
const LEAP = 30;
/** A cookie is renewed before it is over, in milliseconds. */
const RENEWED_MS = 1_800_000;
const LANES = { 1: ['all parties'], 2: ['caller', 'heard by the caller'] };
export const KINDS = { completed: 'good', 'in-progress': 'plain', absent: 'plain', deleted: 'plain' };
const SAYS = {
  'in-progress': 'The recording has not ended: audio and waveform follow then.',
  absent: 'The recording has no audio.',
  deleted: 'The audio was deleted.',
};

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

export function size(bytes) {
  return bytes >= 1e6 ? figure(bytes / 1e6, 1, ' MB') : figure(bytes / 1000, 0, ' KB');
}

/** Draws levels, and the place that is played, on the axis of the call. */
function draw(canvas, one, peaks, axis, place) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0) return;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const x = (ms) => (ms / axis.length) * width;
  const bottom = height - TICKS;
  const [left, right] = [x(one.from), x(one.from + one.duration_ms)];
  pen.fillStyle = colour('--soft');
  pen.fillRect(left, 0, Math.max(1, right - left), bottom);
  const lanes = peaks.length;
  peaks.forEach((levels, lane) => {
    const [middle, half] = [(bottom / lanes) * (lane + 0.5), bottom / lanes / 2 - 2];
    pen.fillStyle = colour(lane === 0 ? '--s0' : '--s1');
    // The highest level of the parts that fall on a pixel.
    for (let at = Math.floor(left); at < right; at += 1) {
      const part = (pixel) => ((pixel - left) / (right - left)) * levels.length;
      const [first, last] = [Math.max(0, Math.floor(part(at))), Math.min(levels.length, Math.max(Math.floor(part(at)) + 1, Math.floor(part(at + 1))))];
      let most = 0;
      for (let n = first; n < last; n += 1) most = Math.max(most, levels[n]);
      const tall = Math.max(0.5, (most / 255) * half);
      pen.fillRect(at, middle - tall, 1, 2 * tall);
    }
  });
  pen.fillStyle = colour('--dim');
  pen.font = '11px ui-monospace, monospace';
  // Messages and events of the ladder, at their times.
  for (const ms of axis.marks) pen.fillRect(Math.min(width - 1, x(ms)), bottom, 1, 4);
  const ticks = Math.max(1, Math.min(6, Math.floor(width / 130)));
  for (let n = 0; n <= ticks; n += 1) {
    pen.textAlign = n === 0 ? 'left' : n === ticks ? 'right' : 'center';
    pen.fillText(`+${figure((axis.length * n) / ticks / 1000, axis.length < 100_000 ? 1 : 0, ' s')}`, (width * n) / ticks, height - 2);
  }
  pen.fillStyle = colour('--bad');
  pen.fillRect(Math.min(width - 2, Math.max(0, x(one.from + place * 1000) - 1)), 0, 2, bottom);
}

/** The player of a recording that has audio. */
function player(one, name, axis, onTime) {
  const path = `/v1/recordings/${encodeURIComponent(one.sid)}`;
  const seconds = one.duration_ms / 1000;
  const audio = h('audio', { preload: 'none' });
  const canvas = h('canvas', { class: 'waveform', tabindex: '0', role: 'slider', 'aria-label': `Place in ${name}`, 'aria-valuemin': 0, 'aria-valuemax': Math.round(seconds), 'data-key': `waveform ${one.sid}` });
  const play = h('button', { type: 'button', key: `play ${one.sid}`, 'aria-label': `Play ${name}` }, '▶ Play');
  const time = h('span', { class: 'time' });
  const note = h('span', { class: 'dim' });
  let peaks = [];
  let opened = 0;
  let wanted = 0;
  const place = () => (audio.readyState > 0 ? audio.currentTime : wanted);
  const show = () => {
    const at = place();
    const inLadder = axis.isAlone ? '' : `, ${offset((one.from + at * 1000) * 1000)} in the ladder`;
    time.textContent = `${clock(at)} / ${clock(seconds)}${inLadder}`;
    canvas.setAttribute('aria-valuenow', Math.round(at));
    canvas.setAttribute('aria-valuetext', `${clock(at)} of ${clock(seconds)}`);
    draw(canvas, one, peaks, axis, at);
  };
  const mark = () => onTime(audio.paused ? null : (one.from + audio.currentTime * 1000) * 1000);
  /** Asks for the cookie; the audio then comes by byte ranges, as the browser plays it. */
  async function open() {
    if (Date.now() - opened < RENEWED_MS) return;
    await api.post(`${path}/listen`);
    opened = Date.now();
    if (!audio.src) audio.src = `${path}/audio`;
  }
  async function toggle() {
    if (!audio.paused) {
      audio.pause();
      return;
    }
    try {
      await open();
      await audio.play();
    } catch (error) {
      if (error.name !== 'AbortError') say(`${name} cannot be played: ${error.message}`, true);
    }
  }
  function seek(to) {
    wanted = Math.min(Math.max(0, to), Math.max(0, seconds - 0.05));
    if (audio.readyState > 0) audio.currentTime = wanted;
    show();
  }
  // Before the first frame of audio is there the place is only wanted.
  audio.addEventListener('loadedmetadata', () => { if (wanted > 0) audio.currentTime = wanted; });
  for (const event of ['play', 'pause', 'ended']) {
    audio.addEventListener(event, () => {
      play.textContent = audio.paused ? '▶ Play' : '❚❚ Pause';
      play.setAttribute('aria-label', `${audio.paused ? 'Play' : 'Pause'} ${name}`);
      mark();
    });
  }
  audio.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
  });
  audio.addEventListener('timeupdate', () => {
    show();
    mark();
    if (!audio.paused) open().catch(() => {});
  });
  audio.addEventListener('seeked', show);
  play.addEventListener('click', toggle);
  canvas.addEventListener('click', (event) => {
    const box = canvas.getBoundingClientRect();
    seek((((event.clientX - box.left) / box.width) * axis.length - one.from) / 1000);
  });
  canvas.addEventListener('keydown', (event) => {
    const to = { ArrowLeft: place() - STEP, ArrowRight: place() + STEP, ArrowDown: place() - STEP, ArrowUp: place() + STEP, PageDown: place() - LEAP, PageUp: place() + LEAP, Home: 0, End: seconds }[event.key];
    if (to !== undefined) seek(to);
    else if (event.key === ' ' || event.key === 'Enter') toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(show).observe(canvas);
  // Light or dark; what observes the document ends with the page.
  const over = new AbortController();
  const look = new MutationObserver(() => paint());
  function paint() {
    if (canvas.isConnected) {
      show();
      return;
    }
    look.disconnect();
    over.abort();
  }
  look.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint, { signal: over.signal });
  api.get(`${path}/peaks`).then((answer) => {
    ({ peaks } = answer);
    if (answer.sampled) note.textContent = 'The waveform is that of samples of the audio.';
    canvas.dataset.drawn = 'true';
    show();
  }).catch((error) => { note.textContent = `No waveform: ${error.message}`; });
  const save = h('button', {
    type: 'button', class: 'quiet', key: `save ${one.sid}`, 'aria-label': `Download ${name}`,
    on: {
      click: async () => {
        try {
          await api.post(`${path}/listen`);
          h('a', { href: `${path}/audio`, download: `${one.sid}.${one.format}` }).click();
        } catch (error) {
          say(error.message, true);
        }
      },
    },
  }, 'Download');
  const legend = LANES[one.channels].map((lane, at) => h('span', { class: `lane k${at}` }, lane));
  const node = h('div', { class: 'player' }, canvas, h('div', { class: 'buttons left' }, play, time, h('span', { class: 'legend' }, legend), save), note, audio);
  show();
  return { node, stop: () => audio.pause() };
}

/** A recording by itself: its player, or why there is none. */
export function recordingAlone(one, name) {
  if (one.state !== 'completed') return h('p', { class: 'empty' }, SAYS[one.state] || '');
  const axis = { length: Math.max(1000, one.duration_ms), marks: [], isAlone: true };
  return player({ ...one, from: 0 }, name, axis, () => {}).node;
}

/** Whether audio in a node is being played: it is not taken away then. */
export const plays = (node) => [...node.querySelectorAll('audio')].some((audio) => !audio.paused);

/** The recordings of a call in a node of a section that is hidden while there are none. Unchanged ones are left alone: one may be playing. */
export function recordingsPart(part, node, onTime) {
  let drawn = '';
  let players = [];
  return async (call, trace) => {
    const { recordings } = await api.get(`/v1/recordings${api.query({ call: call.sid, limit: 100 })}`).catch(() => ({ recordings: [] }));
    const print = JSON.stringify([recordings.map(({ sid, state, duration_ms: ms }) => [sid, state, ms]), call.ended_at, trace ? trace.entries.length : 0]);
    // What is played is not taken away.
    if (print === drawn || plays(node)) return;
    drawn = print;
    part.hidden = recordings.length === 0;
    players.forEach(({ stop }) => stop());
    const began = Date.parse(call.started_at);
    const all = recordings.reverse().map((one) => ({ ...one, from: Math.max(0, Date.parse(one.started_at) - began) }));
    const ends = all.map((one) => one.from + one.duration_ms).concat(call.ended_at ? Date.parse(call.ended_at) - began : 0);
    const axis = { length: Math.max(1000, ...ends), marks: trace ? trace.entries.map((entry) => entry.at_us / 1000) : [] };
    players = [];
    swap(node, all.map((one, place) => {
      const name = all.length > 1 ? `recording ${place + 1} of ${all.length}` : 'the recording';
      const lost = one.gaps > 0 ? chip('bad', `${one.gaps} gaps, ${figure(one.lost_ms / 1000, 2, ' s')} lost`) : null;
      const known = [
        ['sid', h('code', {}, one.sid)], ['State', [chip(KINDS[one.state] || 'plain', words(one.state)), one.encrypted ? chip('plain', 'encrypted') : null, lost]],
        ['Source', words(one.source)], ['From', offset(one.from * 1000)], ['Duration', duration(one.duration_ms / 1000)], ['Size', one.bytes ? size(one.bytes) : '–'],
      ];
      let body = h('p', { class: 'empty' }, SAYS[one.state] || '');
      if (one.state === 'completed') {
        const made = player(one, name, axis, onTime);
        players.push(made);
        body = made.node;
      }
      return h('div', { class: 'recording', role: 'group', 'aria-label': name }, facts(known), one.error ? h('p', { class: 'bad' }, one.error) : null, body);
    }));
  };
}
