// Requests to the edge's HTTP API, and its event stream.

import { codePoint } from './format.js';

const TOKEN = 'trunkgate.token';

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Returns what is wrong with a token before it is sent, as a sentence; null for one that may be right. */
export function tokenFault(token) {
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.exec(token.trim());
  if (hidden) return `The token contains an invisible character (${codePoint(hidden[0])}): copy or type it again.`;
  return token.trim() ? null : 'The token is empty.';
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token.trim());
}

/** Returns the header of a token as its UTF-8 bytes: `fetch` accepts no other characters. */
function headers(token) {
  return token === null ? {} : { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}` };
}

/** Returns why a response refuses the token of its request, as a sentence; null if it does not. */
function tokenRefusal(response, code) {
  if (response.status === 401) return 'The edge rejected this token.';
  if (code !== 'too_many_requests') return null;
  const seconds = Number(response.headers.get('Retry-After')) || 60;
  return `The edge rejected this token: too many wrong ones were tried. Try again in ${seconds} s.`;
}

/** Sends a token once, so that a wrong one counts as one; returns why the edge does not accept it, or null. */
export async function tryToken(token) {
  try {
    const signal = AbortSignal.timeout(SILENCE_MS);
    const response = await fetch('/v1/trunks', { headers: headers(token.trim()), cache: 'no-store', signal });
    const code = response.status === 429 ? (await response.json()).error.code : null;
    return tokenRefusal(response, code);
  } catch {
    // An edge that does not answer is shown by the page.
    return null;
  }
}

/** Forgets a token that was rejected, unless another one was entered since. */
function rejected(token, why) {
  if (token !== null && sessionStorage.getItem(TOKEN) === token) sessionStorage.removeItem(TOKEN);
  onUnauthorized(token === null ? null : why);
}

let onUnauthorized = () => {};

/** Called when the token is missing, or with the reason when it is refused. */
export function whenUnauthorized(act) {
  onUnauthorized = act;
}

/** How long the edge may send nothing, in milliseconds: in all, or the answer of a request at least; that of one that changes something or makes a file; its stream, which has a comment each 2 s. */
const SILENCE_MS = 6000;
const ANSWER_MS = 3000;
const WORK_MS = 30_000;
const STREAM_MS = 3000;

/** When the edge last sent something. */
export let heardAt = Date.now();

/** Sends a request; returns its response as soon as that begins. */
async function send(path, options) {
  const token = sessionStorage.getItem(TOKEN);
  const response = await fetch(path, { ...options, headers: { ...headers(token), ...options.headers }, cache: 'no-store' });
  if (response.ok) return response;
  const text = await response.text();
  let code = 'error';
  let message = text || `HTTP ${response.status}`;
  try {
    ({ code, message } = JSON.parse(text).error);
  } catch { /* not JSON: the text is the message */ }
  const why = tokenRefusal(response, code);
  if (why) rejected(token, why);
  throw new Refused(response.status, code, message);
}

/** What ends the requests of the open page. */
const pending = new Set();

/** Ends the requests of a page that is left: the next one does not wait for them. */
export function abandon() {
  for (const stop of pending) stop.abort();
}

/** How long a request may wait: an edge that was silent before it has less time. */
const patience = () => Math.max(ANSWER_MS, SILENCE_MS - (Date.now() - heardAt));

/** Returns a response with all of its body. An edge that sends nothing for `most` milliseconds is unreachable, also if it accepts connections. */
async function ask(path, { most = patience(), ...options } = {}) {
  const stop = new AbortController();
  let isSilent = false;
  let timer = 0;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => { isSilent = true; stop.abort(); }, most);
  };
  if (!options.method) pending.add(stop);
  try {
    wait();
    const response = await send(path, { ...options, signal: stop.signal });
    const parts = [];
    for (let reader = response.body?.getReader(); reader;) {
      wait();
      const { value, done } = await reader.read();
      if (done) break;
      parts.push(value);
    }
    heardAt = Date.now();
    return new Response(new Blob(parts, { type: response.headers.get('Content-Type') || '' }));
  } catch (error) {
    if (error instanceof Refused) throw error;
    if (isSilent) throw new Refused(0, 'silent', `The edge does not answer: nothing came for ${Math.round(most / 1000)} s`);
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'unreachable', 'The edge does not answer: it cannot be reached');
  } finally {
    clearTimeout(timer);
    pending.delete(stop);
  }
}

/** How long a page is not drawn again while a pointer is down or text of it is selected. */
const HAND_MS = 10_000;
let isPressed = false;
addEventListener('pointerdown', () => { isPressed = true; }, true);
// The click follows the release.
for (const over of ['pointerup', 'pointercancel', 'dragend', 'blur']) addEventListener(over, () => setTimeout(() => { isPressed = false; }, 50), true);

/** Waits for the hand of the reader: a page that is drawn again between press and release loses the click, and a selection. */
async function handIsOff() {
  const isBusy = () => {
    const selection = getSelection();
    return isPressed || (selection && !selection.isCollapsed && document.getElementById('main').contains(selection.anchorNode));
  };
  for (const end = Date.now() + HAND_MS; isBusy() && Date.now() < end;) await new Promise((resolve) => { setTimeout(resolve, 50); });
}

export async function get(path) {
  const answer = await (await ask(path)).json();
  await handIsOff();
  return answer;
}

export async function text(path) {
  return (await ask(path)).text();
}

export async function post(path, body) {
  return (await ask(path, { most: WORK_MS, method: 'POST', body: body === undefined ? undefined : JSON.stringify(body) })).json();
}

export async function remove(path) {
  return (await ask(path, { most: WORK_MS, method: 'DELETE' })).json();
}

/** Downloads a path as a file. */
export async function download(path, name) {
  const blob = await (await ask(path, { most: WORK_MS })).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Builds a query string of the parameters that are not empty. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  const search = new URLSearchParams(given).toString();
  return search ? `?${search}` : '';
}

/** Returns the samples of /metrics: {name: [{labels, value}]}. */
export async function metrics() {
  const families = {};
  for (const line of (await text('/metrics')).split('\n')) {
    const match = /^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] || '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map((pair) => [pair[1], pair[2]]));
    (families[match[1]] ||= []).push({ labels, value: Number(match[3]) });
  }
  return families;
}

const followers = new Set();

/** Calls `act(name, data)` for every event; returns a function that stops it. The name `link` reports the state of the stream. */
export function follow(act) {
  followers.add(act);
  return () => followers.delete(act);
}

function tell(name, data) {
  for (const act of [...followers]) act(name, data);
}

/** Whether the event stream is open; otherwise pages poll. */
export let isLive = false;

function live(is) {
  if (isLive === is) return;
  isLive = is;
  tell('link', { live: is });
}

/** Reads one event of the stream's text. */
function event(block) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
  }
  if (data.length === 0) return;
  try {
    tell(name, JSON.parse(data.join('\n')));
  } catch { /* not JSON: ignored */ }
}

/** Ends the pause before the next attempt to open the stream. */
let wake = () => {};

/** Opens the stream at once if it waits for its next attempt: the edge answers again. */
export function reconnect() {
  wake();
}

/** Follows /v1/events and reconnects. Uses fetch because EventSource cannot send the token. */
export async function listen() {
  const longest = 30_000;
  let pause = 1000;
  for (;;) {
    const stop = new AbortController();
    let silent = 0;
    const wait = () => {
      clearTimeout(silent);
      silent = setTimeout(() => stop.abort(), STREAM_MS);
    };
    try {
      wait();
      const response = await send('/v1/events', { signal: stop.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let waiting = '';
      live(true);
      pause = 1000;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        wait();
        heardAt = Date.now();
        waiting += value;
        for (let end = waiting.indexOf('\n\n'); end >= 0; end = waiting.indexOf('\n\n')) {
          event(waiting.slice(0, end));
          waiting = waiting.slice(end + 2);
        }
      }
    } catch (error) {
      if (error.status === 401) {
        live(false);
        return;
      }
    } finally {
      clearTimeout(silent);
    }
    live(false);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      wake = () => { clearTimeout(timer); resolve(); };
    });
    pause = Math.min(pause * 2, longest);
  }
}
