// Tests the console in headless Chromium. `--walk URL --pid PID`: every page of an edge with the demo's calls, in the process PID; `--part NAME`: one of its functions. `--live URL --token TOKEN`:
// sign-in, a live call, hang-up, drain. `--conference URL`: an edge with a conference of two phones. `--told URL --sid SID`: *Overview* and the page of that call contain each `--says TEXT` and
// no `--not TEXT`; `--turns URL`: an edge whose only call had an agent that answered; `--page overview|call --picture NAME` takes a picture. `--pictures URL`: those of docs/images. `--out FOLDER`: folder for screenshots. Any error of a
// page fails the run.

const { chromium } = require('playwright-core');

const flag = (name) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? null : process.argv[at + 1];
};
const all = (name) => process.argv.filter((word, at) => process.argv[at - 1] === `--${name}`);
const OUT = flag('out');
const PATIENCE = 30_000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const WIDE = { width: 1280, height: 800 };
/** Calls that the edge keeps. */
const CALLS = 10_000;
const NARROW = { width: 390, height: 844 };
/** What a page shows once it is filled: a table, or a sentence where it has nothing to list. */
const FILLED = 'main table:visible, main .verdict:visible';

let checks = 0;

function hold(what, holds) {
  checks += 1;
  if (!holds) throw new Error(`check failed: ${what}`);
}

async function picture(page, name, full) {
  if (!OUT) return;
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${OUT}/${name}.png`, fullPage: Boolean(full) });
}

/** Opens a page; its errors and its requests to other hosts fail the run. */
async function opened(browser, url, options, faults) {
  const context = await browser.newContext({ viewport: WIDE, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => faults.push(`page: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    // Responses that the console expects: a download that is not available, a wrong token.
    if (/the server responded with a status of (401|404|405|400)/.test(message.text())) return;
    // Of requests that a check cuts off.
    if (/net::ERR_FAILED/.test(message.text())) return;
    faults.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('request', (request) => {
    const at = request.url();
    if (!at.startsWith(url) && !at.startsWith('blob:') && !at.startsWith('data:')) faults.push(`fetched: ${at}`);
  });
  await page.goto(`${url}/`);
  return page;
}

/** Polls a condition; playwright's own wait violates the page's policy. */
async function until(page, holds) {
  for (const end = Date.now() + PATIENCE; Date.now() < end;) {
    if (await page.evaluate(holds)) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error(`timed out waiting for ${holds}`);
}

async function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** Filters, totals, bars, order and CSV of the list of calls; the demo has four calls, all answered. */
async function calls(page, url) {
  const rows = page.locator('tbody tr[data-row]');
  const shows = (many) => until(page, `document.querySelectorAll('tbody tr[data-row]').length === ${many}`);
  hold('the total is that of all calls', (await page.locator('.total').innerText()).startsWith('4 calls, 0 live.'));
  hold('the bars are of all answered calls', (await page.locator('.bars figcaption').innerText()) === 'Duration of 4 answered calls');
  hold('a row has time and age', /^(\w+ \d+ )?\d\d:\d\d:\d\d\s+.*ago$/s.test(await rows.first().locator('td').first().innerText()));
  await page.selectOption('[data-select=code]', '200');
  await until(page, () => location.hash.includes('code=200'));
  await shows(4);
  hold('codes and reasons are counted', (await page.locator('[data-select=reason] option').allInnerTexts()).includes('caller hung up (4)'));
  await page.selectOption('[data-select=reason]', 'caller_hung_up');
  await until(page, () => location.hash.includes('reason=caller_hung_up'));
  await page.locator('.total', { hasText: '4 calls match the filter' }).waitFor();
  await page.fill('[data-field=shorter]', '2');
  await page.keyboard.press('Enter');
  await page.locator('.total', { hasText: '3 calls match the filter' }).waitFor();
  await shows(3);
  hold('the bars are those of the other filters', (await page.locator('.bars figcaption').innerText()) === 'Duration of 4 answered calls');
  const header = page.locator('th', { hasText: 'Duration' });
  hold('another order is offered', await header.getAttribute('aria-sort') === 'none');
  await header.locator('button').click();
  hold('the order is stated', await header.getAttribute('aria-sort') === 'descending');
  hold('the order is in the URL', page.url().includes('by=Duration'));
  const [file] = await Promise.all([page.waitForEvent('download'), page.locator('button', { hasText: 'Download CSV' }).click()]);
  const lines = require('fs').readFileSync(await file.path(), 'utf8').trim().split('\r\n');
  hold(`the CSV has the calls that match: ${lines}`, file.suggestedFilename().endsWith('.csv') && lines.length === 4 && lines[0].startsWith('sid,started_at,'));
  hold('numbers of the CSV are masked', lines[1].includes('****') && !/,\+\d{7,}/.test(lines[1]));
  await page.goto(`${url}/#/calls`);
  await shows(4);
}

/** The order of a table and the details of a row. */
async function listed(page, by, caption) {
  const header = page.locator('thead').first().locator('th', { hasText: by });
  await header.locator('button').focus();
  await page.keyboard.press('Enter');
  hold(`${caption}: the order is stated`, ['ascending', 'descending'].includes(await header.getAttribute('aria-sort')));
  const first = page.locator('button.expand').first();
  await first.focus();
  await page.keyboard.press('Enter');
  await page.locator('tr.detail .details').waitFor();
  hold(`${caption}: the details are open`, await first.getAttribute('aria-expanded') === 'true');
  await page.keyboard.press('Enter');
  await page.locator('tr.detail').waitFor({ state: 'detached' });
  await page.locator('h1').click();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('tr.detail .details').waitFor();
}

/** Crosshair and zoom of plots, by keys and by the pointer. */
async function plots(page) {
  const first = page.locator('.plots svg[role=img]').first();
  await first.focus();
  await page.keyboard.press('ArrowLeft');
  const readouts = () => page.locator('.plots .readout').allInnerTexts();
  const places = () => page.evaluate(() => [...document.querySelectorAll('.plots svg[role=img]')].map((svg) => { const box = svg.getBoundingClientRect(); return [box.left, box.top + scrollY, box.width, box.height].map(Math.round).join(); }).join(' '));
  await page.keyboard.press('ArrowRight');
  await page.evaluate(() => document.activeElement.blur());
  await until(page, () => [...document.querySelectorAll('.plots .readout')].every((one) => one.textContent === ''));
  const still = await places();
  await first.focus();
  await page.keyboard.press('ArrowLeft');
  hold(`the crosshair moves no plot: ${still} to ${await places()}`, await places() === still);
  hold('the values are said once', await page.evaluate(() => [...document.querySelectorAll('.plot')].every((plot) => !plot.querySelector('.legend') || !plot.querySelector('.readout').textContent.includes(')  '))));
  hold('the crosshair is on every plot', (await readouts()).filter((text) => text.includes('ago')).length > 1);
  await page.keyboard.press('+');
  const reset = page.locator('.plots .reset:visible');
  hold('every plot is zoomed', await reset.count() > 1);
  await page.keyboard.press('0');
  hold('the zoom is reset', await reset.count() === 0);
  // A refresh replaces the plot.
  let box = null;
  while (!box) box = await first.boundingBox();
  await page.mouse.move(box.x + 100, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + 200, box.y + 50);
  await page.mouse.up();
  hold('a drag zooms', await reset.count() > 1);
  await reset.first().click();
  hold('the button resets the zoom', await reset.count() === 0);
  hold('no level of a count is half', await page.evaluate(() => [...document.querySelectorAll('.plot')].filter((plot) => /^(Calls|Problems|Media ports.*)$/.test(plot.querySelector('.name').textContent))
    .every((plot) => [...plot.querySelectorAll('.tick[text-anchor=end]')].every((tick) => !tick.textContent.includes('.')))));
}

/** Checks what a phone shows: the open page in the menu, a choice of the order, and the remarks of the ladder. */
async function phone(page, name) {
  const inside = (selector) => page.evaluate((wanted) => [...document.querySelectorAll(wanted)].every((one) => {
    const box = one.getBoundingClientRect();
    return box.left >= -1 && box.right <= innerWidth + 1;
  }), selector);
  hold(`${name}: the open page is visible in the menu`, await inside('#nav a[aria-current]'));
  if (['calls', 'trunks', 'agents'].includes(name)) hold(`${name}: the order can be chosen`, await page.locator('.sort-by select').isVisible());
  const wide = await page.evaluate(() => [...document.querySelectorAll('td .cell .chip, td .cell a')].filter((chip) => chip.checkVisibility() && chip.getBoundingClientRect().right > chip.closest('.cell').getBoundingClientRect().right + 1).map((chip) => chip.textContent));
  hold(`${name}: chips and links that reach into the next cell: ${wide.join('; ')}`, wide.length === 0);
  if (name === 'call') hold('all texts of the ladder are visible', await inside('svg.ladder text'));
  const long = await page.evaluate(() => [...document.querySelectorAll('td[data-label]')].filter((cell) => cell.checkVisibility() && getComputedStyle(cell, '::before').whiteSpace === 'nowrap').map((cell) => cell.dataset.label));
  hold(`${name}: labels that may reach over their values: ${long}`, long.length === 0);
}

/** Has the pages show so many trunks, agents and routes, made of the edge's own; of 50 or more with 10,000 calls, of 0 with none. */
async function scaled(page, most) {
  const rewrite = (path, change) => page.route((at) => at.pathname === path, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    change(body, new URL(route.request().url()).searchParams);
    await route.fulfill({ response, json: body });
  });
  const many = (some, name, count = most) => Array.from({ length: count }, (_, at) => {
    const one = structuredClone(some[at % some.length]);
    one.name = at === 4 ? `${name}-with-a-name-that-is-as-long-as-names-may-get` : `${name}-${String(at).padStart(2, '0')}`;
    return one;
  });
  const trunks = (some) => many(some, 'trunk').map((trunk, at) => ({
    ...trunk, calls: (at * 37) % 1000, max_calls: at % 2 ? 1000 : 0,
    ...(at % 7 === 3 ? { state: 'down', last_problem: 'no answer to OPTIONS from 192.0.2.17:5060 over UDP within 4 s (no_response)', last_problem_at: new Date(Date.now() - 5e5).toISOString() } : {}),
    ...(trunk.hour ? { hour: { ...trunk.hour, codes: at % 5 === 1 ? [[503, 1234, 'received'], [486, 210, 'sent'], [404, 87, 'received'], [403, 3, 'received']].map(([code, calls, direction]) => ({ direction, code, calls })) : [] } } : {}),
  }));
  await rewrite('/v1/trunks', (body) => { body.trunks = trunks(body.trunks); });
  await rewrite('/v1/agents', (body) => { body.agents = many(body.agents, 'agent'); });
  await rewrite('/v1/routes', (body) => { body.routes = many(body.routes, 'route'); });
  await rewrite('/v1/status', (body) => {
    body.trunks = trunks(body.trunks);
    body.problem_details = Array.from({ length: most ? most - 1 : 0 }, (_, at) => ({
      harm: 'calls', trunk: `trunk-${String(at).padStart(2, '0')}`, kind: 'rejects', headline: `trunk trunk-${at} rejected ${at + 5} of 60 calls in the last hour`, evidence: '8× 403 Forbidden "Call Rejected", 8× 503 Service Unavailable, …',
      fix: 'check that your public address is on the carrier\u2019s allow list', command: `trunkgate trace CA${'0'.repeat(32)}`,
    }));
  });
  await rewrite('/v1/history', (body) => {
    if (most === 0) Object.assign(body, { samples: [], troubles: [] });
  });
  await rewrite('/v1/calls', (body, asked) => {
    const some = body.calls;
    const shown = Math.min(Number(asked.get('limit') || CALLS), most >= 50 ? CALLS : most);
    body.calls = Array.from({ length: shown }, (_, at) => ({ ...some[at % some.length], sid: `CA${String(at).padStart(32, '0')}`, ...(at % 9 === 4 ? { outcome: 'failed', sip_code: 503, reason: 'trunk_congested', answered_at: null, flags: ['one_way', 'failed_over', 'agent', 'transcoded', 'srtp'] } : {}) }));
    if (body.summary && most >= 50) Object.assign(body.summary, { total: CALLS, live: 1234, reasons: { caller_hung_up: 9000, trunk_congested: 1000 }, codes: { 200: 9000, 503: 1000 } });
    if (body.summary && most === 0) Object.assign(body.summary, { total: 0, live: 0, reasons: {}, codes: {}, durations: body.summary.durations.map((bin) => ({ ...bin, calls: 0 })) });
  });
}

/** Returns the texts that are less than 4.5 times as bright or dark as what is behind them (WCAG 2.2, 1.4.3), with the ratio. */
function faint() {
  const parts = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
  const light = (colour) => {
    const [r, g, b] = colour.map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const all = [];
    for (let one = node; one; one = one.parentElement) all.push(parts(getComputedStyle(one).backgroundColor));
    return all.reverse().reduce((under, colour) => over(colour, under), [255, 255, 255]);
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    if (!node.checkVisibility() || node.closest('.unseen, .said') || ![...node.childNodes].some((one) => one.nodeType === Node.TEXT_NODE && one.data.trim())) continue;
    const style = getComputedStyle(node);
    let under = behind(node);
    let own = parts(node instanceof SVGElement ? style.fill : style.color);
    let opacity = 1;
    for (let one = node; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
    if (opacity < 1) {
      const root = behind(document.body);
      own = [...over([...over(own, under), opacity], root), 1];
      under = over([...under, opacity], root);
    }
    const [high, low] = [light(over(own, under)), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${node.textContent.slice(0, 40)}`);
  }
  return found;
}

/** Returns what a screen reader could not name: controls without a name, regions and plots without a label. */
function nameless() {
  // A text comes before a title: one without a letter or digit, such as an arrow, names nothing.
  const own = (node) => (node.textContent.trim() ? /[\p{L}\p{N}]/u.test(node.textContent) : node.title || node.querySelector?.('[aria-label], title, img[alt]:not([alt=""])'));
  const named = (node) => node.getAttribute('aria-label') || node.getAttribute('aria-labelledby') || node.labels?.length || own(node);
  return [...document.querySelectorAll('button, a[href], input, select, [role=button], [role=region], [role=img], [tabindex="0"]')].filter((node) => node.checkVisibility() && !named(node)).map((node) => node.outerHTML.slice(0, 80));
}

/** Returns texts that are cut without a sign of it, and numbers that take two lines. */
function torn() {
  const all = [...document.querySelectorAll('main td.number .cell, main .chip, main th, main .strip strong')].filter((node) => node.checkVisibility());
  const lines = (node) => { const range = document.createRange(); range.selectNodeContents(node); const bottoms = [...range.getClientRects()].filter((box) => box.width > 0).map((box) => box.bottom).sort((a, b) => a - b); return 1 + bottoms.filter((bottom, at) => at > 0 && bottom - bottoms[at - 1] > 8).length; };
  const cut = (node) => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 && getComputedStyle(node).overflowX !== 'visible' && getComputedStyle(node).textOverflow !== 'ellipsis';
  return [...all.filter((node) => lines(node) > 1), ...[...document.querySelectorAll('main p, main dd, main li, main .cell')].filter((node) => node.checkVisibility() && cut(node))].map((node) => node.textContent.slice(0, 60));
}

/** Names that are broken in mid-word although the page is wide. */
function brokenNames() {
  const lines = (node) => { const range = document.createRange(); range.selectNodeContents(node); return new Set([...range.getClientRects()].map((box) => Math.round(box.bottom))).size; };
  return [...document.querySelectorAll('td .expand strong, td code.slug')].filter((node) => node.checkVisibility() && node.textContent.length < 26 && !node.textContent.includes('-') && lines(node) > 1).map((node) => node.textContent);
}

/** Faults that were mended, by `/v1/status`: no page shows one as a problem of now, and the hour's history stays. */
async function mended(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 } }, faults);
  const fault = { calls: 4, of: 13, recent: { calls: 0, of: 9 }, kind: 'nothing', cause: 'no packets arrived', fix: 'open the ports', last_sid: `CA${'0'.repeat(32)}`, still: true, good_since: 2 };
  const rejected = { calls: 4, of: 13, recent: { calls: 0, of: 9 }, in_row: 0, lost: 0, still: true, good_since: 2, answers: [{ code: 403, text: 'Forbidden', leads_on: false, calls: 4, present: true }], fix: 'check the allow list', last_sid: fault.last_sid };
  let problems = [];
  const rewrite = (path, change) => page.route((at) => at.pathname === path, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    change(body);
    await route.fulfill({ response, json: body });
  });
  const faulty = (body) => { body.trunks = body.trunks.map((trunk) => ({ ...trunk, state: 'up', unheard: fault, rejected })); };
  await rewrite('/v1/trunks', faulty);
  await rewrite('/v1/status', (body) => { faulty(body); body.problem_details = problems.map((problem) => ({ ...problem, trunk: body.trunks[0].name })); });
  const { trunks: [{ name: known }] } = await (await page.request.get(`${url}/v1/status`)).json();
  const failed = (code, count) => ({ kind: 'failed', reason: 'target_rejected', code, sentence: 'a target rejected the call', count, fix: `advice for ${code}`, last_at: new Date().toISOString(), last_sid: fault.last_sid, trunk: 'pbx', target: known, text: null });
  await rewrite('/v1/history', (body) => { body.troubles = [failed(403, 12), failed(503, 6), failed(402, 4)]; });
  const show = async (name) => {
    await page.goto(`${url}/#/nowhere`);
    await page.goto(`${url}/#/${name}`);
    await page.locator(name === 'overview' ? '.health.good, .health.bad, .health.warn, .health.plain' : 'main table tbody tr').first().waitFor();
  };
  await show('overview');
  await page.locator('.health.good', { hasText: 'No problems' }).waitFor();
  hold('mended faults: the history has a row for each code', await page.locator('section[aria-label="Problems in the last hour"] tbody tr').count() === 3);
  hold('mended faults: nothing of the hour is a problem of now', await page.locator('.chip.bad, .chip.warn, .strip .bad').count() === 0);
  const shown = await page.locator('section[aria-label="Problems in the last hour"] tbody a', { hasText: 'show' }).first().getAttribute('href');
  hold('mended faults: the calls of a row are those of its trunk', shown.includes(`trunk=${known}`) && shown.includes('code=403'));
  const isCut = (route) => route.abort();
  await page.route('**/v1/**', isCut);
  await page.locator('#lost', { hasText: 'does not answer' }).waitFor();
  await page.unroute('**/v1/**', isCut);
  await page.locator('#lost').waitFor({ state: 'detached' });
  hold('an edge that does not answer is named above the page until it does', true);
  await show('trunks');
  hold('mended faults: no trunk is marked', await page.locator('tr.marked, .chip.bad, .chip.warn').count() === 0);
  problems = [{ harm: 'strangers', headline: 'SIP from unknown sources is dropped', evidence: '1 message', fix: null, command: null }];
  await show('overview');
  await page.locator('.health.good', { hasText: 'No problems' }).waitFor();
  hold('what unknown sources do is shown below', (await page.locator('.problems').innerText()).includes('unknown sources'));
  problems = [{ harm: 'past', kind: 'one_way', headline: 'no media in 4 of 13 calls; the latest 2 were heard', evidence: 'no packets arrived', fix: null, command: null }];
  await show('trunks');
  hold('what is past is neutral', await page.locator('a.chip.plain', { hasText: 'no audio in 4 of 13' }).count() === 1 && await page.locator('tr.marked').count() === 0);
  problems = [{ ...problems[0], harm: 'media', headline: 'no media in 4 of 13 calls' }];
  await show('trunks');
  hold('a problem of now is marked', await page.locator('a.chip.bad', { hasText: 'no audio in 4 of 13' }).count() === 1 && await page.locator('tr.marked:not(.warned)').count() === 1);
  await show('overview');
  await page.locator('.health.bad', { hasText: 'no media in 4 of 13 calls' }).waitFor();
  await picture(page, 'overview-mended');
  await page.context().close();
}

/** A list of calls that grows, of one phone's four parties, and a call without a trace: the list stands still under its reader, and is found again as it was left. */
async function read(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 } }, faults);
  let fresh = 0;
  const rewrite = (matches, change) => page.route(matches, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    change(body, new URL(route.request().url()).searchParams);
    await route.fulfill({ response, json: body });
  });
  await rewrite((at) => at.pathname === '/v1/calls', (body, asked) => {
    const [some] = body.calls;
    const one = (at) => ({ ...some, sid: `CA${String(at).padStart(32, '0')}`, started_at: new Date(Date.UTC(2026, 0, 1) + at * 1000).toISOString(), from: `+1415555${String(at).padStart(4, '0')}` });
    body.calls = Array.from({ length: Math.min(Number(asked.get('limit') || CALLS), 3000) }, (_, at) => one(3000 + fresh - at));
    if (body.summary) body.summary.total = 3000 + fresh;
  });
  const rows = page.locator('tbody tr[data-row]');
  const first = () => rows.first().getAttribute('data-row');
  const at = () => page.evaluate(() => scrollY);
  await page.goto(`${url}/#/calls`);
  await until(page, () => document.querySelectorAll('tbody tr[data-row]').length === 100);
  await page.locator('button', { hasText: 'Show older calls' }).click();
  await until(page, () => document.querySelectorAll('tbody tr[data-row]').length === 400);
  await page.evaluate(() => scrollTo(0, 5000));
  const before = await first();
  fresh = 7;
  await page.locator('.news button', { hasText: '7 new calls' }).waitFor();
  hold('new calls move no row under the reader', await first() === before && await at() === 5000);
  await page.evaluate(() => { location.hash = `#/calls/${document.querySelector('tbody tr[data-row]').dataset.row}`; });
  await page.locator('.verdict.bad', { hasText: 'Unknown call' }).waitFor();
  hold('another page begins at its top', await at() === 0);
  await page.goBack();
  await until(page, () => document.querySelectorAll('tbody tr[data-row]').length === 400 && scrollY === 5000);
  hold('back shows the rows that were left', await first() === before);
  await page.locator('.news button').click();
  await until(page, () => scrollY === 0 && document.querySelector('tbody tr[data-row]').dataset.row.endsWith('3007') && !document.querySelector('.news button'));
  await rows.nth(3).hover();
  fresh = 9;
  await page.locator('.news button', { hasText: '2 new calls' }).waitFor();
  hold('a row under the pointer stays', (await first()).endsWith('3007'));
  await page.goto(`${url}/#/overview`);
  await page.locator('.plots svg').first().waitFor();
  const most = await page.evaluate(() => { scrollTo(0, 400); return scrollY; });
  await page.evaluate(() => { location.hash = '#/trunks'; });
  await page.locator('h1', { hasText: 'Trunks' }).waitFor();
  await page.goBack();
  await until(page, `scrollY === ${most} && document.querySelector('.plots svg') !== null`);
  hold('back on Overview is where it was left', true);
  await page.unrouteAll();

  const { calls: [call] } = await (await page.request.get(`${url}/v1/calls?limit=1&flag=failed_over`)).json();
  const long = ['reception', 'edge', 'wholesale-international-tier-1-frankfurt', 'pbx-munich'];
  await rewrite((where) => where.pathname.endsWith('/trace'), (body) => {
    body.legs = [body.legs[0], ...long.filter((name) => name !== 'edge')];
    body.entries.push({ at_us: body.entries[body.entries.length - 1].at_us, kind: 'media', leg: 1, text: 'DTMF digit (masked) by telephone-event' });
  });
  await page.setViewportSize(NARROW);
  await page.goto(`${url}/#/calls/${call.sid}`);
  await page.locator('svg.ladder').waitFor();
  const heads = await page.evaluate(() => {
    const box = document.querySelector('.ladder').getBoundingClientRect();
    const all = [...document.querySelectorAll('.ladder .party')].map((one) => ({ text: [...one.querySelectorAll('tspan')].map((line) => line.textContent).join(''), box: one.getBoundingClientRect() }));
    const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    return { names: all.map(({ text }) => text), torn: all.filter((one, place) => one.box.right > box.right + 1 || one.box.left < box.left - 1 || all.some((other, behind) => behind > place && over(one.box, other.box))).map(({ text }) => text) };
  });
  hold('a DTMF digit is a row of the ladder', (await page.locator('.ladder .note.media').allTextContents()).some((text) => text.includes('reception: DTMF digit (masked)')));
  hold(`the names above the ladder are whole: ${JSON.stringify(heads)}`, heads.torn.length === 0 && long.every((name) => heads.names.includes(name)));
  await page.unrouteAll();

  await rewrite((where) => where.pathname.endsWith('/kept'), (body) => Object.assign(body, { trace: false, messages: false, quality: false }));
  await rewrite((where) => where.pathname === `/v1/calls/${call.sid}`, (body) => {
    body.outcome = 'failed';
    Object.assign(body, { answered_at: null, sip_code: 403, reason: 'target_rejected' });
    Object.assign(body.legs[body.legs.length - 1], { sip_code: 403, sip_text: 'Forbidden "caller ID not verified"' });
  });
  const asked = [];
  page.on('response', (response) => { if (response.status() >= 400) asked.push(response.url()); });
  await page.goto(`${url}/#/nowhere`);
  await page.goto(`${url}/#/calls/${call.sid}`);
  await page.locator('.verdict.bad', { hasText: /^Failed with 403: target rejected.*answered 403 Forbidden "caller ID not verified".*trunkgate help target_rejected/s }).waitFor();
  await page.locator('section[aria-label=Legs] tbody tr').first().waitFor();
  hold(`a call without a trace asks for nothing that is gone: ${asked}`, asked.length === 0);
  hold('it has no empty downloads', await page.locator('section[aria-label=Downloads]:visible').count() === 0);
  await page.context().close();
}

/** Parties that name themselves at length, many that reject alike, routes without a target, callers of the API without valid credentials: made of the edge's own answers. */
async function crowded(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 } }, faults);
  const rewrite = (path, change) => page.route((at) => at.pathname === path, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    change(body);
    await route.fulfill({ response, json: body });
  });
  const show = async (name, there) => {
    await page.goto(`${url}/#/nowhere`);
    await page.goto(`${url}/#/${name}`);
    await page.locator(there || 'main table tbody tr').first().waitFor();
  };
  const user = 'u'.repeat(60) + '12'.repeat(30);
  const rejecting = { name: 'sip-exchange', calls: 5, of: 6, in_row: 5, lost: 5, still: true, good_since: 0, recent: { calls: 5, of: 6 }, answers: [{ code: 503, text: 'Service Unavailable', leads_on: false, calls: 5, present: true }], fix: 'call the carrier', last_sid: `CA${'0'.repeat(32)}` };
  const codes = [486, 404, 480, 603].flatMap((code, at) => ['received', 'sent'].map((direction) => ({ direction, code, calls: 54 - at })));
  const crowd = (trunks) => {
    const address = { transport: 'udp', address: '203.0.113.117:5060', state: 'down', rtt_ms: 123.4, last_options: new Date().toISOString(), failures: 3, last_problem: 'no answer to OPTIONS within 4 s (no_response)', rests_seconds: 30 };
    const some = (name, more) => ({ ...structuredClone(trunks[0]), max_calls: 1000, peers: [{ uri: 'sip:sbc-frankfurt.carrier.example:5060;transport=udp', state: 'up', addresses: [address, { ...address, state: 'up' }] }], name, state: 'up', ...more });
    return [some('down', { state: 'down', last_problem: 'no answer to OPTIONS from 203.0.113.117:5060 over UDP within 4 s (no_response)', last_problem_at: new Date().toISOString() }), some('full', { rejected: rejecting }), ...Array.from({ length: 40 }, (_, at) => some(`customer-${at}`))];
  };
  await rewrite('/v1/calls', (body) => {
    body.calls.forEach((call, at) => Object.assign(call, { from: at ? user : '1'.repeat(120), reason: 'caller_hung_up', flags: at ? call.flags : ['one_way'] }));
    body.calls[0].legs.forEach((leg) => { leg.rtp.rx_packets = 0; });
  });
  await rewrite('/v1/trunks', (body) => { body.trunks = crowd(body.trunks).map((trunk) => ({ ...trunk, hour: { ...body.trunks[0].hour, codes } })); });
  const problem = (harm, headline, more = {}) => ({ harm, headline, evidence: 'seen', fix: null, command: null, ...more });
  await rewrite('/v1/status', (body) => {
    body.trunks = crowd(body.trunks);
    // In the order in which the edge has them.
    body.problem_details = [
      problem('calls', 'route number +13105550110 has no target left'), problem('calls', 'trunk down is down', { trunk: 'down', kind: 'down' }), problem('calls', 'trunk full rejected 5 of 6 calls', { trunk: 'full', kind: 'rejects' }),
      problem('calls', 'app hook: failed in 1 of 1 calls', { app: 'hook', kind: 'fails' }), problem('media', 'no media from customer-1 in a live call', { trunk: 'customer-1', kind: 'one_way', live_calls: 1 }),
      problem('detour', 'packets lost with customer-2', { trunk: 'customer-2', kind: 'loss' }),
      problem('calls', 'trunk spare is down', { unmet: true, trunk: 'spare', kind: 'down' }), problem('records', 'app hook: callbacks are not delivered', { kind: 'callbacks_not_delivered', receiver_app: 'hook' }),
    ];
  });
  const row = (target, code, count, more) => ({ kind: 'failed', reason: 'target_rejected', code, sentence: 'a target rejected the call', count, fix: 'advice', last_at: new Date().toISOString(), last_sid: rejecting.last_sid, trunk: 'customer-2', target, text: `${target} answered ${code}`, ...more });
  await rewrite('/v1/history', (body) => { body.troubles = [...Array.from({ length: 40 }, (_, at) => row(`customer-${at}`, 404, 300 - at)), row('full', 503, 5), { ...row('customer-1', null, 1), kind: 'one_way', reason: null }]; });
  await rewrite('/v1/routes', (body) => {
    const [some] = body.routes;
    body.routes = [{ ...some, name: 'number +13105550110', from: [], connect: ['trunk:down', 'trunk:full@2'], has_file: false }, { ...some, name: 'half', from: ['customer-7'], connect: ['trunk:down', 'trunk:customer-0'], has_file: false }, { ...some, name: 'refused', connect: ['reject:403'], has_file: false }];
  });
  const request = (more) => ({ at: new Date().toISOString(), method: 'GET', path: 'Calls.json', query: '', resource: 'Calls', status: 200, code: null, message: null, call: null, ms: 1, source: '192.0.2.7', key: null, ...more });
  const refused = (source) => request({ method: '', path: '', resource: 'authentication', status: 401, code: 20003, message: 'Authenticate', source });
  const gone = request({ path: `Calls/${rejecting.last_sid}.json`, status: 404, code: 20404, message: 'not found', call: rejecting.last_sid });
  await rewrite('/v1/api', (body) => Object.assign(body, {
    open: true, requests: [request(), gone], failures: [refused('192.0.2.8'), refused('192.0.2.8'), gone, refused('192.0.2.9')],
    callback_errors: [{ app: 'api', code: 11200, message: 'the application answered 500', call: rejecting.last_sid, at: new Date().toISOString(), next_at: new Date(Date.now() + 60_000).toISOString() }],
  }));
  await page.route((at) => at.pathname === '/metrics', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\ntrunkgate_callbacks_waiting{app="api"} 1\n` });
  });

  const whole = () => page.evaluate(() => { const list = document.querySelector('main .scroll'); return list.scrollWidth <= list.clientWidth + 1; });
  for (const key of ['', 'm']) {
    await show('calls');
    if (key) await page.keyboard.press(key);
    await until(page, key ? () => document.querySelector('.end').textContent.length === 120 : () => document.querySelector('.end') !== null);
    hold(`a party that names itself at length leaves room for all columns ${key}`, await whole() && await page.locator('td .end').first().getAttribute('title') === await page.locator('td .end').first().textContent());
    await picture(page, `crowded-calls${key}`);
  }
  await page.keyboard.press('m');
  hold('a call without audio of both sides is no one-way call', (await page.locator('tbody tr[data-row]').first().innerText()).includes('no audio'));
  await show('trunks');
  const link = page.locator('.codes a').first();
  hold('a code leads to the calls that are counted', /trunk=.*&direction=received&code=486&within=3600$/.test(await link.getAttribute('href')));
  const rows = await page.evaluate(() => Math.max(...[...document.querySelectorAll('.codes')].map((one) => one.getBoundingClientRect().height)));
  hold(`the codes of one direction take one line: ${rows}`, rows < 30 && (await page.locator('.codes').first().innerText()).includes('+2'));
  hold('trunks with lost calls are before those with less', (await page.locator('tr.marked strong').allInnerTexts()).join() === 'down,full,customer-1,customer-2' && (await page.locator('tr.warned strong').allInnerTexts()).join() === 'customer-2');
  hold('live one-way audio is a failure', await page.locator('a.chip.bad', { hasText: 'no audio in a live call' }).count() === 1);
  for (const width of [1440, 1366, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    if (await page.locator('tr.detail').count() === 0) await page.locator('button.expand').first().click();
    await page.locator('tr.detail .details table').waitFor();
    const wide = await page.evaluate(() => [...document.querySelectorAll('main .scroll')].filter((list) => list.scrollWidth > list.clientWidth + 1).map((list) => `${list.getAttribute('aria-label')} ${list.scrollWidth} of ${list.clientWidth}`));
    hold(`trunks fit ${width} pixels: ${wide}`, wide.length === 0);
    await picture(page, `crowded-trunks-${width}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await show('overview', '.health.bad');
  await page.locator('.problems li').nth(4).waitFor();
  const kinds = await page.locator('.problems > li').evaluateAll((all) => all.map((one) => one.className));
  hold(`red problems are before amber ones: ${kinds}`, kinds.includes('warn') && kinds.lastIndexOf('bad') < kinds.indexOf('warn'));
  const figures = (await page.locator('.figures').innerText()).replace(/\s+/g, ' ');
  hold(`the figures are in one row: ${figures}`, /^Live calls .* Answered .* Failed .* Trunks up 41 of 42/.test(figures) && await page.locator('.figures').evaluate((all) => all.offsetHeight < 100));
  hold('of many problems each is its headline', await page.locator('.problems > li > details:not([open])').count() > 3);
  await page.locator('.problems summary').first().click();
  await page.locator('.problems details[open]', { hasText: 'seen' }).waitFor();
  hold(`the title of the tab names the page and the edge: ${await page.title()}`, /^Overview · .+ · Trunkgate$/.test(await page.title()));
  hold('a number in a problem is masked', !(await page.locator('main').innerText()).includes('+13105550110'));
  const history = page.locator('section[aria-label="Problems in the last hour"] tbody tr');
  const texts = await history.allInnerTexts();
  hold(`the history begins with what is a problem now: ${texts.slice(0, 3)}`, texts.length === 3 && texts[0].includes('full') && texts[1].includes('customer-1') && texts[2].includes('40 parties'));
  hold('what callers dial wrong is not red', await history.nth(2).locator('.chip.bad, .chip.warn').count() === 0 && await history.nth(0).locator('.chip.bad').count() === 1);
  await history.nth(2).locator('summary').click();
  hold('the parties of a shared row have links to their calls', await history.nth(2).locator('details a').count() === 40 && page.url().endsWith('#/overview'));
  const tiles = await page.locator('.strip').innerText();
  hold(`tiles have no sentences of problems: ${tiles}`, !tiles.includes('no answer to OPTIONS') && tiles.includes('rejects 5 of 6'));
  hold('the history does not repeat the fix of a problem', !texts[0].includes('advice') && texts[2].includes('advice'));
  hold('an application has one tile', await page.locator('.strip strong', { hasText: /^hook$/ }).count() === 1);
  await picture(page, 'crowded-overview', true);
  await show('routes', 'section[aria-label^="Routes in order"] tbody tr');
  const routes = page.locator('section[aria-label^="Routes in order"] tbody tr');
  hold('a route without a target is marked, with the state of each', await routes.nth(0).evaluate((one) => one.matches('.marked')) && (await routes.nth(0).locator('a.chip.bad').allInnerTexts()).join() === 'down,rejects 5 of 6 calls');
  hold('a route with a target, and one that refuses, are not marked', await routes.nth(1).evaluate((one) => !one.matches('.marked')) && await routes.nth(2).evaluate((one) => !one.matches('.marked')));
  hold('what another target of the route takes over is amber', await routes.nth(1).locator('a.chip.warn', { hasText: 'down' }).count() === 1 && await routes.nth(1).locator('a.chip.bad').count() === 0);
  hold('why a target is down is said at its state', (await routes.nth(1).locator('a.chip.warn', { hasText: 'down' }).getAttribute('title')).startsWith('trunk down'));
  hold('the test of a call begins with a trunk that a route names', await page.inputValue('#why-from') === 'customer-7');
  hold('a number in the name of a route is masked', (await routes.nth(0).innerText()).includes('number +1310****110'));
  hold('the list of routes without a target ends in a number', (await page.locator('section[aria-label^="Routes in order"] > div > p.bad').innerText()).endsWith('number +1310****110.'));
  await picture(page, 'crowded-routes');
  await page.setViewportSize(NARROW);
  await rewrite('/v1/routes', (body) => { body.routes = Array.from({ length: 30 }, (_, at) => ({ ...body.routes[0], name: `route-${at}`, connect: [at === 20 ? 'trunk:down' : 'trunk:customer-0'], has_file: false })); });
  await page.locator('.more:visible', { hasText: 'Show 17 more' }).waitFor();
  hold('a phone folds no red row away', await routes.nth(20).isVisible() && !(await routes.nth(19).isVisible()) && !(await routes.nth(21).isVisible()));
  await page.setViewportSize({ width: 1440, height: 900 });
  await show('api', 'section[aria-label="Latest requests"] tbody tr');
  const latest = page.locator('section[aria-label="Latest requests"] tbody tr');
  const told = await latest.allInnerTexts();
  hold(`requests that failed authentication are a row of each client: ${told}`, told.length === 4 && told.filter((text) => text.includes('authentication failed')).length === 2 && told.some((text) => text.includes('2 times') && text.includes('192.0.2.8')));
  hold('there is no link to a call that is not there', await latest.locator('a').count() === 0);
  const callbacks = page.locator('section[aria-label=Callbacks] tbody tr', { hasText: 'requests to the API named' });
  hold('a callback that fails has its error, call and next attempt', /11200.*answered 500.*call.*next attempt in/s.test(await callbacks.innerText()) && await callbacks.locator('a[href*="#/calls/CA"]').count() === 1);
  await picture(page, 'crowded-api');
  await show('system', '.problems li');
  hold('the page System has what is wrong with records', (await page.locator('.problems').innerText()).includes('callbacks are not delivered'));
  await page.fill('#search', 'Full');
  await page.keyboard.press('Enter');
  await page.locator('tr.detail #trunk-full').waitFor();
  hold('the search opens a trunk by its name', page.url().endsWith('#/trunks?trunk=full'));
  await page.setViewportSize(NARROW);
  const { calls: [call] } = await (await page.request.get(`${url}/v1/calls?limit=1`)).json();
  await rewrite(`/v1/calls/${call.sid}`, (body) => Object.assign(body, { recordings: [{ sid: 'RE1', status: 'stopped', source: 'Trunking', channels: 2, seconds: 3, lost: [{ reason: 'disk_full', seconds: 12 }] }], from: user, to: user, route: user }));
  await rewrite('/v1/why', (body) => Object.assign(body, { called: user, caller: user }));
  for (const name of ['overview', 'calls', 'trunks', 'routes', 'api', `calls/${call.sid}`]) {
    await show(name);
    if (name.includes('/')) {
      await page.locator('section[aria-label="Routing"] tbody tr').first().waitFor();
      hold('a call leads to its trunks', await page.locator('section[aria-label=Legs] a[href^="#/trunks?trunk="]').count() > 0);
      hold('the verdict says what the recording lacks', (await page.locator('.verdict').innerText()).includes('The recording lacks 12 s of audio: the disk was full.'));
    }
    hold(`${name} of many fits a phone`, await overflow(page) <= 0);
    await picture(page, `crowded-${name.split('/')[0]}-narrow`);
  }
  await rewrite('/v1/status', (body) => {
    const silent = Array.from({ length: 6 }, (_, at) => problem('media', `no media from customer-${at} in ${at === 4 ? '3 live calls' : 'a live call'}`, { trunk: `customer-${at}`, kind: 'one_way', live_calls: at === 4 ? 3 : 1 }));
    body.problem_details = [...silent, ...['spare', 'old'].map((name) => problem('calls', `trunk ${name} is down`, { unmet: true, trunk: name, kind: 'down' }))];
  });
  await page.setViewportSize({ width: 1440, height: 900 });
  await show('overview');
  await page.reload();
  await page.locator('.problems li').nth(3).waitFor();
  const lines = await page.locator('.problems > li').allInnerTexts();
  hold(`live silent calls beyond the first three parties, and unused trunks, are one line each: ${lines}`, lines.length === 4 && lines[2].includes('no audio in 5 more live calls') && lines[3].includes('2 trunks that no route uses are down'));
  hold('a shared line leads to its calls', await page.locator('.problems a[href="#/calls?flag=one_way&state=live"]').count() === 1);
  await page.context().close();
}

/** A call whose callbacks fail again and again and whose verdict has two problems, made of one of the edge's own: on a phone and on a desktop. */
async function failing(browser, url, faults) {
  const failure = 'not reachable: Connection refused (os error 111)';
  const address = 'http://127.0.0.1:26499/a-status-callback-with-a-long-name/none';
  const one = { url: address, remote: '127.0.0.1:26499', status: null, failure, duration_ms: 1 };
  const attempt = (number) => ({ at_us: 1e6 * number ** 2 + 2e6, kind: 'webhook', purpose: 'status', method: 'POST', attempt: number, error: 11205, body: '', tries: [one, one], text: `status POST ${address} (127.0.0.1:26499): ${failure} after 2 ms, 2 tries (error 11205); attempt ${number}, will be retried` });
  const start = { at_us: 1e6, kind: 'webhook', purpose: 'start', method: 'POST', attempt: null, error: null, body: '<Response><Say>Hi\u202eevil</Say></Response>', tries: [{ ...one, status: 200, failure: null }], text: 'start POST' };
  for (const [kind, options] of [['wide', { viewport: { width: 1440, height: 900 } }], ['narrow', { viewport: NARROW }]]) {
    const page = await opened(browser, url, options, faults);
    const { calls: [call] } = await (await page.request.get(`${url}/v1/calls?limit=1`)).json();
    await page.route((at) => at.pathname === `/v1/calls/${call.sid}/trace`, async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      const stray = { at_us: 3e6, kind: 'message', leg: 0, received: true, text: 'ACK (stray)', note: 'tags or CSeq are not those of the 200 OK: dropped', again: false };
      const recording = { at_us: 4e6, kind: 'decision', text: `recording RE${'0'.repeat(32)} begins` };
      const rejected = { at_us: 5e6, kind: 'message', leg: body.legs.length - 1, received: true, text: '503 Service Temporarily Unavailable', note: '', again: false };
      body.entries.push(start, stray, recording, rejected, ...Array.from({ length: 7 }, (_, at) => attempt(at + 1)));
      body.verdict = 'Answered by a: carrier sent no matching ACK. Try: compare the ACK (`trunkgate doctor`). No media from b: nothing came. Try: check b.';
      await route.fulfill({ response, json: body });
    });
    await page.route((at) => at.pathname === '/v1/why', async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      body.attempts = (body.attempts || []).map((each) => ({ ...each, now: ['down since 2026-11-25T22:53:19.045Z'] }));
      await route.fulfill({ response, json: body });
    });
    await page.goto(`${url}/#/calls/${call.sid}`);
    await page.locator('svg.ladder').waitFor();
    await page.locator('section[aria-label="Routing"] tbody tr').first().waitFor();
    const rows = page.locator('svg.ladder g.row', { hasText: 'status POST' });
    hold(`${kind}: attempts of one callback are one row of the ladder`, await rows.count() === 1);
    const note = (await rows.first().locator('.note tspan').allTextContents()).join(' ');
    hold(`${kind}: it has the address once and the number of attempts: ${note}`, note.replace(/\s/g, '').split('127.0.0.1:26499').length === 2 && /7 attempts failed/.test(note) && note.includes('11205'));
    const table = page.locator('section[aria-label="Webhooks"] tbody tr[data-row]');
    hold(`${kind}: and one row of the webhooks`, await table.count() === 2 && (await table.nth(1).innerText()).split('26499/').length === 2);
    const body = await page.locator('section[aria-label="Webhooks"] pre.body').innerText();
    hold(`${kind}: characters that turn a text are shown: ${body}`, body === '<Response><Say>Hi⟨U+202E⟩evil</Say></Response>');
    const lines = (await page.locator('.verdict').innerText()).split(/\n|(?=Try:)/).map((line) => line.trim());
    hold(`${kind}: each problem of a verdict begins a line: ${lines}`, ['Try: compare', 'No media from b', 'Try: check b'].every((begin) => lines.some((line) => line.startsWith(begin))));
    hold(`${kind}: times of targets are those of the page`, (await page.locator('.targets').allInnerTexts()).join().includes('down since') && !(await page.locator('.targets').allInnerTexts()).join().includes('T22:53'));
    hold(`${kind}: the call fits the width`, await overflow(page) <= 0);
    if (kind === 'narrow') {
      await phone(page, 'call');
      const height = await page.evaluate(() => document.documentElement.scrollHeight);
      hold(`the call is not longer than eight screens of a phone: ${height}`, height < 8 * NARROW.height);
    }
    await picture(page, `failing-${kind}`, true);
    await page.context().close();
  }
}

/** Widths between a phone and a desktop: nothing scrolls sideways, and the open page is in the menu. */
async function between(browser, url, faults) {
  for (const width of [600, 768, 900, 1024]) {
    const page = await opened(browser, url, { viewport: { width, height: 900 } }, faults);
    await scaled(page, 50);
    for (const name of ['overview', 'calls', 'trunks', 'routes', 'agents', 'api', 'security', 'system']) {
      await page.goto(`${url}/#/${name}`);
      await page.locator(FILLED).first().waitFor();
      hold(`${name} fits ${width} px`, await overflow(page) <= 0);
      const seen = await page.evaluate(() => { const { left, right } = document.querySelector('#nav').getBoundingClientRect(); return [...document.querySelectorAll('#nav a')].filter((link) => { const box = link.getBoundingClientRect(); return box.left >= left - 1 && box.right <= right + 1; }).map((link) => link.dataset.page); });
      hold(`${name} is in the menu at ${width} px, which shows ${seen}`, seen.includes(name) && seen.length >= (width >= 768 ? 8 : 6));
    }
    await page.goto(`${url}/#/calls`);
    await page.locator('main table tbody tr').first().waitFor();
    await picture(page, `calls-${width}`);
    await page.context().close();
  }
}

/** What the console says while the edge does not answer: of a page that was filled before, and of one that was opened since. */
async function stopped(browser, url, faults) {
  const page = await opened(browser, url, {}, faults);
  await page.locator('.link.good').waitFor();
  await page.goto(`${url}/#/trunks`);
  await page.locator('tbody tr[data-row]').first().waitFor();
  await page.route((at) => at.pathname.startsWith('/v1/') || at.pathname === '/metrics', (route) => route.abort());
  await page.keyboard.press('m');
  await page.locator('#lost', { hasText: 'shows what was known then' }).waitFor();
  hold('what was known is shown', await page.locator('tbody tr[data-row]:visible').count() > 0);
  const pale = await page.evaluate(faint);
  hold(`texts of a page that is old are hard to read: ${pale.join('; ')}`, pale.length === 0 && await page.locator('main.stale').count() === 1);
  await page.keyboard.press('5');
  await page.locator('#lost', { hasText: 'opened after that' }).waitFor();
  hold('a page without data does not say that it shows what was known', !(await page.locator('#lost').innerText()).includes('was known') && await page.locator('main > *:visible').count() === 1);
  await picture(page, 'stopped');
  await page.unrouteAll();
  await page.locator('#lost').waitFor({ state: 'detached' });
  hold('the page is there again', await page.locator('main table:visible').count() > 0);
  await rewriting(page)('/v1/status', (body) => { body.problem_details = []; });
  await page.keyboard.press('1');
  await page.locator('.health.good', { hasText: 'No problems' }).waitFor();
  await page.route((at) => at.pathname.startsWith('/v1/') || at.pathname === '/metrics', (route) => route.abort());
  await page.locator('.health.good', { hasText: 'Last known: ' }).waitFor();
  await page.unrouteAll();
  await page.locator('#lost').waitFor({ state: 'detached' });
  await page.goto(`${url}/#/system`);
  const reload = page.locator('main button', { hasText: /^Reload$/ });
  await reload.waitFor();
  hold('what changes something may be used', await page.locator('[data-sends]').count() === 2 && await page.locator('[data-sends]:disabled').count() === 0);
  await page.route((at) => at.pathname.startsWith('/v1/') || at.pathname === '/metrics', (route) => route.abort());
  await reload.click();
  await page.locator('main p.bad', { hasText: 'The edge does not answer' }).waitFor();
  await page.locator('#lost').waitFor();
  hold('a reload without an answer is no rejected one', !(await page.locator('main').innerText()).includes('Reload rejected'));
  hold('nothing can be changed while the edge does not answer', await page.locator('[data-sends]:not(:disabled)').count() === 0);
  await page.unrouteAll();
  await page.locator('#lost').waitFor({ state: 'detached' });
  hold('it can be changed again', await page.locator('[data-sends]:disabled').count() === 0);
  await page.goto(`${url}/#/overview`);
  await page.locator('.health').waitFor();
  hold('what is known is no longer marked as old', !(await page.locator('.health').innerText()).includes('Last known'));
  await page.context().close();
}

/** Has an answer of the edge changed before a page gets it. */
function rewriting(page) {
  return (path, change) => page.route((at) => at.pathname === path, async (route) => {
    try {
      const response = await route.fetch();
      const body = await response.json();
      change(body);
      await route.fulfill({ response, json: body });
    } catch (error) {
      // A request may be under way as its page is closed.
      if (!/disposed|closed/.test(error.message)) throw error;
    }
  });
}

/** Counts lead to the calls that they count, and say which time they cover. */
async function counted(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 } }, faults);
  const rows = page.locator('section[aria-label="Problems in the last hour"] tbody tr[data-row]');
  await rows.first().waitFor();
  const all = await rows.evaluateAll((some) => some.map((row) => ({ text: row.textContent, count: Number(row.querySelector('td.number').textContent), links: [...row.querySelectorAll('a')].map((link) => link.getAttribute('href')).filter((href) => href.startsWith('#/calls?')) })));
  hold('the demo has problems in its history', all.length > 0);
  for (const { text, count, links: [link] } of all) {
    await page.goto(`${url}/${link}`);
    await page.locator('.total', { hasText: 'the filter' }).waitFor();
    const total = Number((await page.locator('.total strong').innerText()).split(' ')[0]);
    hold(`${text} leads to ${total} calls (${link})`, total === count);
  }
  const rewrite = rewriting(page);
  const last = { last_at: new Date().toISOString(), last_sid: `CA${'0'.repeat(32)}`, text: null, fix: null, sentence: 'it failed', code: null };
  const fault = { calls: 3, of: 1086, recent: { calls: 1, of: 9 }, kind: 'codecs', cause: 'no codec', fix: 'set codecs', last_sid: last.last_sid, still: true, good_since: 0 };
  const answers = [403, 503].map((code) => ({ code, text: 'No', leads_on: false, calls: 3, present: true }));
  const rejected = { calls: 6, of: 6, in_row: 6, lost: 0, still: true, good_since: 0, recent: { calls: 6, of: 6 }, answers, fix: 'ask', last_sid: last.last_sid };
  const faulty = (body) => { Object.assign(body.trunks[0], { state: 'up', codec_mismatch: fault, rejected }); };
  let since = new Date(Date.now() - 4 * 60_000).toISOString();
  const known = await (await page.request.get(`${url}/v1/status`)).json();
  const names = [known.trunks[0].name, known.agents[0].name];
  await rewrite('/v1/trunks', (body) => {
    faulty(body);
    body.since = since;
    body.trunks[0].hour.codes = [{ direction: 'received', code: 488, calls: 3 }];
  });
  await rewrite('/v1/agents', (body) => {
    body.since = since;
    Object.assign(body.agents.find(({ name }) => name === names[1]), { state: 'up', failed: { calls: 3, of: 9, hung_up: 0 }, silent: { calls: 5, of: 6 } });
  });
  await rewrite('/v1/status', (body) => {
    faulty(body);
    body.problem_details = [
      ...['codec_mismatch', 'rejects'].map((kind) => ({ harm: 'media', trunk: names[0], kind, headline: `\`${kind}\`` })),
      { harm: 'calls', agent: names[1], kind: 'fails', headline: `agent ${names[1]} failed in 3 of 9 calls` },
      { harm: 'media', agent: names[1], kind: 'one_way', live_calls: 2, headline: `agent ${names[1]} has sent no audio in 2 live calls` },
    ].map((one) => ({ evidence: null, fix: null, command: null, ...one }));
  });
  await rewrite('/v1/history', (body) => { body.troubles = [{ ...last, kind: 'failed_over', reason: 'agent_unreachable', count: 3, target: names[1], trunk: names[0] }, { ...last, kind: 'failed', reason: 'app_failed', count: 1, target: 'app:bad-hook', trunk: names[0] }]; });
  await page.goto(`${url}/#/overview`);
  await rows.nth(1).waitFor();
  const links = await rows.locator('a', { hasText: 'show' }).evaluateAll((some) => some.map((one) => one.getAttribute('href')));
  hold(`a failover leads to the calls that this target failed: ${links}`, links.some((link) => link.includes(`failed=${names[1]}&failed_reason=agent_unreachable`)));
  hold(`a failed application leads to its own calls: ${links}`, links.some((link) => link.includes('app=bad-hook') && link.includes('reason=app_failed')));
  await page.locator('.covered', { hasText: 'of the last 4 min' }).waitFor();
  await page.goto(`${url}/#/trunks`);
  await page.locator('a.chip', { hasText: 'codecs in 3' }).first().waitFor();
  const badge = (text) => page.locator('a.chip', { hasText: text }).first().getAttribute('href');
  hold(`a codec badge leads to calls that the trunk rejected: ${await badge('codecs in')}`, (await badge('codecs in')).includes('flag=codec_mismatch&direction=received&within=3600'));
  hold(`a badge of rejections leads to all codes: ${await badge('rejects 6')}`, /code=403(,|%2C)503/.test(await badge('rejects 6')));
  const heads = (await page.locator('main thead').first().locator('th').allInnerTexts()).map((text) => text.toLowerCase());
  hold(`columns name the time that they cover: ${heads}`, heads.includes('codes, 4 min') && heads.includes('in, 4 min') && !heads.some((head) => head.includes('1 h')));
  hold('a badge of the whole hour says so', (await page.locator('a.chip', { hasText: 'codecs in' }).first().innerText()).endsWith(', 1 h'));
  hold('the page says why', (await page.locator('.covered').innerText()).includes('newest 10\u202f000 ended calls'));
  hold('a tooltip has no backticks', !(await page.locator('a.chip', { hasText: 'codecs in' }).first().getAttribute('title')).includes('`'));
  since = new Date(Date.now() - 3_600_000).toISOString();
  await page.goto(`${url}/#/agents`);
  await page.locator('tbody tr[data-row]').first().waitFor();
  hold(`a badge of an agent leads to the calls in which it failed, also where another target answered: ${await badge('failed in 3')}`, (await badge('failed in 3')).includes(`#/calls?failing=${names[1]}&within=3600`));
  hold(`a badge of live calls is that of status, and leads to them: ${await badge('no audio in 2 live')}`, (await badge('no audio in 2 live calls')).includes('flag=one_way&state=live'));
  hold('an hour that is whole is named so', (await page.locator('main thead').first().locator('th').allInnerTexts()).some((head) => head.toLowerCase().startsWith('calls, 1 h')) && (await page.locator('.covered').innerText()) === '');
  await page.goto(`${url}/#/routes`);
  const ended = page.locator('section[aria-label^="Routes in order"] tbody td.number a').first();
  const number = Number(await ended.innerText());
  await ended.click();
  await page.locator('.total', { hasText: `${number} call` }).waitFor();
  hold('the calls of a route are those that are counted: the ended ones', page.url().includes('state=ended'));
  await page.context().close();
}

/** Filters of calls: an absolute range, live calls, mistakes in the address; conferences as the side that answers. */
async function filtered(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 }, timezoneId: 'Asia/Tokyo' }, faults);
  const asked = [];
  page.on('request', (request) => { const at = new URL(request.url()); if (at.pathname === '/v1/calls') asked.push(at.searchParams); });
  const last = () => asked[asked.length - 1];
  await page.goto(`${url}/#/calls?since=2026-01-01T00:00:00Z&until=2030-01-01T00:00:00Z`);
  await page.locator('.total', { hasText: '4 calls match the filter' }).waitFor();
  hold('a link has an absolute range', last().get('since') === '2026-01-01T00:00:00Z' && last().get('until') === '2030-01-01T00:00:00Z');
  hold('its fields are in the time zone of the page', await page.inputValue('[data-moment=since]') === '2026-01-01T09:00' && await page.inputValue('[data-moment=until]') === '2030-01-01T09:00');
  await page.fill('[data-moment=until]', '2026-01-02T09:00:00');
  await page.locator('.filters button', { hasText: 'Apply' }).click();
  await page.locator('.total', { hasText: '0 calls match the filter' }).waitFor();
  hold(`the range is in the address: ${page.url()}`, decodeURIComponent(page.url()).includes('since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00.000Z'));
  await page.goto(`${url}/#/calls`);
  await page.locator('.total', { hasText: '4 calls, 0 live' }).waitFor();
  hold('the fields of a range are there when they are wanted', await page.locator('[data-moment=since]:visible').count() === 0);
  await page.selectOption('[data-select=within]', 'range');
  await page.fill('[data-moment=since]:focus', '2026-01-02T09:00');
  await page.keyboard.press('Enter');
  await until(page, () => decodeURIComponent(location.hash) === '#/calls?since=2026-01-02T00:00:00.000Z');
  await page.goto(`${url}/#/calls?since=yesterday`);
  await page.locator('#refused', { hasText: 'yesterday' }).waitFor();
  await page.goto(`${url}/#/calls?colour=red&within=soon`);
  await page.locator('#unknown', { hasText: 'colour is no filter' }).filter({ hasText: 'soon is not a value of within' }).waitFor();
  await page.locator('.total', { hasText: '4 calls, 0 live' }).waitFor();
  await page.goto(`${url}/#/calls?since=2030-01-01T00:00:00Z&until=2026-01-01T00:00:00Z`);
  await page.locator('#unknown', { hasText: 'since is not before until' }).waitFor();
  await page.fill('[data-moment=since]', '2031-01-01T00:00:00');
  await page.locator('.filters button', { hasText: 'Apply' }).click();
  hold('a range that ends before it begins is not applied', page.url().includes('2030-01-01') && await page.locator('[data-moment=until]').evaluate((field) => field.validationMessage.includes('later than')));
  for (const [name, says] of [['agents?colour=red', 'colour is no parameter of this page'], ['overview?x=1', 'it has no parameters'], ['trunks?state=sideways', 'sideways is not a state; use up, down, unknown'], ['conferences?by=colour', 'colour is not a sortable column']]) {
    await page.goto(`${url}/#/${name}`);
    await page.locator('#unknown', { hasText: says }).waitFor();
  }
  await page.goto(`${url}/#/calls?app=nothing`);
  await page.locator('#refused', { hasText: 'nothing' }).waitFor();
  await page.goto(`${url}/#/calls?state=live`);
  await page.locator('.total', { hasText: '0 calls match the filter' }).waitFor();
  hold('live is a choice', await page.inputValue('[data-select=state]') === 'live');
  const { calls: [{ route }] } = await (await page.request.get(`${url}/v1/calls?limit=1`)).json();
  await page.goto(`${url}/#/calls?route=${route}`);
  await page.locator('.further button', { hasText: route }).click();
  await until(page, () => !location.hash.includes('route'));
  await rewriting(page)('/v1/calls', (body) => { Object.assign(body.calls[0], { conference: { sid: `CF${'0'.repeat(32)}`, name: 'standup' }, legs: [body.calls[0].legs[0]] }); });
  await page.locator('tbody tr[data-row]', { hasText: 'conference:standup' }).waitFor();
  // 200 % of a screen of 1440 pixels.
  await page.setViewportSize({ width: 720, height: 450 });
  await page.goto(`${url}/#/overview`);
  await page.goto(`${url}/#/calls?flag=failed_over`);
  const row = page.locator('tbody tr[data-row]').first();
  await row.waitFor();
  const { shown, cut } = await page.evaluate(() => {
    const box = document.querySelector('main .scroll').getBoundingClientRect();
    const cells = [...document.querySelectorAll('tbody tr[data-row] .cell')].filter((cell) => cell.checkVisibility());
    return { shown: cells.map((cell) => cell.innerText).join(' '), cut: cells.filter((cell) => cell.getBoundingClientRect().right > box.right + 1 || cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.innerText) };
  });
  hold(`at 200 % nothing of a call is cut: ${cut}`, cut.length === 0);
  hold(`at 200 % a call has its flags and its reason: ${shown}`, shown.includes('failed over') && shown.includes('caller_hung_up'));
  await picture(page, 'calls-zoom');
  await page.context().close();
}

/** Focus, names and announcements; a table that is sorted by any place of its header cell. */
async function accessible(browser, url, faults) {
  const page = await opened(browser, url, { viewport: { width: 1440, height: 900 } }, faults);
  await page.locator('.link.good').waitFor();
  const focus = () => page.evaluate(() => `${document.activeElement.tagName} ${document.activeElement.textContent.trim().slice(0, 30)}`);
  for (const [key, title] of [['3', 'Trunks'], ['2', 'Calls'], ['9', 'System']]) {
    await page.keyboard.press(key);
    await page.locator('h1', { hasText: title }).waitFor();
    hold(`after ${key} the focus is on the heading: ${await focus()}`, await focus() === `H1 ${title}`);
  }
  await page.goto(`${url}/#/calls`);
  await page.locator('tbody tr[data-row]').nth(3).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('svg.ladder').waitFor();
  await until(page, () => document.activeElement.matches('h1'));
  const orphans = await page.evaluate(() => document.querySelectorAll('[role=listitem]').length);
  hold('no item of a list is outside of one', orphans === 0);
  const squeezed = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
  const mute = (await page.evaluate(() => [...document.querySelectorAll('svg.ladder g[role=button]')].map((row) => [row.getAttribute('aria-label'), [...row.querySelectorAll('text')].map((text) => text.textContent).join(' ')])))
    .filter(([name, text]) => !text.includes('…') && !squeezed(name).includes(squeezed(text)));
  hold(`names of rows of the ladder begin with their words: ${mute}`, mute.length === 0);
  const colours = await page.evaluate(() => [...document.querySelectorAll('.ladder .note.media')].filter((note) => note.textContent.includes('RTP comes from')).map((note) => [getComputedStyle(note).fill, getComputedStyle(document.querySelector('.ladder text.time')).fill]));
  hold(`where RTP comes from is no fault: ${colours}`, colours.length > 0 && colours.every(([own, dim]) => own === dim));
  await page.goto(`${url}/#/calls`);
  await page.locator('.bars button').first().waitFor();
  const bars = await page.evaluate(() => [...document.querySelectorAll('.bars button')].map((bar) => [bar.getAttribute('aria-label'), bar.textContent]));
  hold(`a bar is named by what it shows: ${bars[0]}`, bars.every(([name, text]) => name === null && /^\d+ calls? of /.test(text)));
  await page.evaluate(() => { window.status_ = document.querySelector('main [role=status]'); });
  await rewriting(page)('/v1/calls', (body) => { if (body.summary) body.summary.total = 5; });
  await until(page, () => document.querySelector('main [role=status]').textContent.startsWith('5 calls'));
  hold('the totals are announced from a node that stays', await page.evaluate(() => window.status_.isConnected && window.status_ === document.querySelector('main [role=status]')));
  await page.unrouteAll();
  const header = page.locator('th', { hasText: 'Duration' });
  const box = await header.boundingBox();
  await page.mouse.click(box.x + 3, box.y + box.height - 3);
  hold('a whole header cell sorts', await header.getAttribute('aria-sort') === 'descending');
  hold('the ring of the menu is inside', await page.evaluate(() => { document.activeElement.blur(); document.querySelector('#nav a').focus({ focusVisible: true }); return getComputedStyle(document.activeElement).outlineOffset; }) === '-3px');
  await page.goto(`${url}/#/routes`);
  await page.fill('#why-called', '+12125550101');
  await page.locator('section[aria-label^="Test a call"] tbody tr').first().waitFor();
  await page.reload();
  await page.locator('section[aria-label^="Test a call"] tbody tr').first().waitFor();
  hold('the test of a call survives a reload', await page.inputValue('#why-called') === '+12125550101');
  await page.route((at) => at.pathname === '/v1/why', (route) => route.fulfill({ json: { from: 'pbx', called: '+13125559105', caller: '', route: null, answer: 404, targets: [], routes: Array.from({ length: 30 }, (_, at) => ({ name: `r${at}`, matched: false, place: null, failed: `to: +13125559105 matches none of ${['+13125550105', '+13125559165'][[15, 20].indexOf(at)] || `+131255501${50 + at}`}` })) } }));
  await page.goto('about:blank');
  await page.goto(`${url}/#/routes?from=nosuch&called=%2B13125559105`);
  const near = page.locator('section[aria-label^="Test a call"] tbody tr', { hasText: /r(15|20)/ });
  await near.first().waitFor();
  hold('a route that differs in one digit, or in masked digits, is not folded away', await near.count() === 2 && (await near.first().innerText()).includes('the masked digits differ'));
  hold('a trunk of the address that is not there is named', (await page.locator('#unknown').innerText()).includes('nosuch'));
  const rewrite = rewriting(page);
  await rewrite('/v1/status', (body) => {
    Object.assign(body.config, { last_reload_success: false, last_reload_error: 'unknown key `colour`' });
    body.problem_details = ['one', 'two', 'three', 'four', 'five'].map((name) => ({ harm: 'calls', headline: `trunk ${name} is down`, evidence: 'seen', fix: 'mend it', command: null }));
  });
  await page.goto(`${url}/#/system`);
  await page.locator('section[aria-label=Configuration] code', { hasText: /^colour$/ }).waitFor();
  hold('backticks are not shown', !(await page.locator('main').innerText()).includes('`'));
  const { calls: [call] } = await (await page.request.get(`${url}/v1/calls?limit=1&flag=failed_over`)).json();
  await rewrite(`/v1/calls/${call.sid}/quality`, (body) => { for (const one of body.series.slice(1)) for (const sample of one.samples) Object.assign(sample, { mos: null, jitter_ms: null }); });
  await page.goto(`${url}/#/calls/${call.sid}`);
  const mos = page.locator('section[aria-label=Quality] figure', { has: page.locator('.name', { hasText: /^MOS$/ }) });
  await mos.locator('.legend').waitFor();
  hold(`a plot of one side names it, and the other: ${await mos.locator('.legend').innerText()}`, await mos.locator('.legend li').count() > 1 && (await mos.locator('.legend').innerText()).includes('no data'));
  await page.setViewportSize(NARROW);
  const phones = await opened(browser, url, { viewport: NARROW }, faults);
  await rewriting(phones)('/v1/status', (body) => { body.problem_details = ['one', 'two', 'three', 'four', 'five'].map((name) => ({ harm: 'calls', headline: `trunk ${name} is down`, evidence: 'seen', fix: 'mend it', command: null })); });
  await phones.reload();
  await phones.locator('.health.bad').waitFor();
  const seen = await phones.locator('main').innerText();
  hold(`a phone shows three problems: ${seen.slice(0, 300)}`, ['one', 'two', 'three'].every((name) => seen.includes(`trunk ${name} is down`)) && !seen.includes('trunk four is down') && seen.includes('2 more problems'));
  await phones.context().close();
  await page.context().close();
}

/** What the console says of an edge that hangs: its process is stopped, so that connections are accepted and no answer comes. */
async function hung(browser, url, faults) {
  const pid = Number(flag('pid'));
  const page = await opened(browser, url, {}, faults);
  await page.locator('.link.good').waitFor();
  await page.goto(`${url}/#/trunks`);
  await page.locator('tbody tr[data-row]').first().waitFor();
  process.kill(pid, 'SIGSTOP');
  try {
    await page.locator('#lost', { hasText: 'shows what was known then' }).waitFor();
    hold('a hung edge: what was known is shown', await page.locator('main.stale tbody tr[data-row]:visible').count() > 0 && (await page.locator('#link').innerText()) === 'unreachable');
    await page.keyboard.press('5');
    await page.locator('#lost', { hasText: 'opened after that' }).waitFor();
    hold('a hung edge: a page that is opened meanwhile has its heading only', await page.locator('main > *:visible').count() === 1);
    await picture(page, 'hung');
    process.kill(pid, 'SIGCONT');
    await page.locator('#lost').waitFor({ state: 'detached' });
    await page.locator('.link.good').waitFor();
    hold('a hung edge that goes on: the page is there again', await page.locator('main table:visible').count() > 0 && await page.locator('main.stale, main.blank').count() === 0);
    process.kill(pid, 'SIGSTOP');
    await page.keyboard.press('3');
    await page.locator('#lost', { hasText: 'opened after that' }).waitFor();
    process.kill(pid, 'SIGCONT');
    await page.locator('#lost').waitFor({ state: 'detached' });
    await page.locator('tbody tr[data-row]').first().waitFor();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await page.context().close();
}

/** Every page with no, one and 50 trunks, and with 10,000 calls, wide and narrow, light and dark. */
async function sizes(browser, url, faults) {
  const says = { overview: 'No trunks are configured', calls: 'No calls since the edge was started', trunks: '[trunk.NAME]', routes: 'No trunks are configured' };
  for (const most of [0, 1, 50]) {
    for (const [kind, options] of [['wide', { viewport: { width: 1440, height: 900 } }], ['narrow', { viewport: NARROW }]]) {
      const page = await opened(browser, url, options, faults);
      await scaled(page, most);
      for (const name of ['overview', 'calls', 'trunks', 'routes', 'agents', 'security', 'system']) {
        await page.goto(`${url}/#/nowhere`);
        await page.goto(`${url}/#/${name}`);
        await page.locator(name === 'overview' ? '.health.good, .health.bad, .health.warn, .health.plain' : 'main h1').first().waitFor();
        await page.locator(FILLED).first().waitFor();
        const where = `${name}, ${kind}, ${most} trunks`;
        hold(`${where}: the page does not scroll sideways`, await overflow(page) <= 0);
        for (const theme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme: theme });
          const pale = await page.evaluate(faint);
          hold(`${where}: ${theme} texts that are hard to read: ${pale.join('; ')}`, pale.length === 0);
        }
        const unnamed = await page.evaluate(nameless);
        hold(`${where}: controls without a name: ${unnamed.join('; ')}`, unnamed.length === 0);
        const broken = await page.evaluate(torn);
        hold(`${where}: torn texts: ${broken.join('; ')}`, broken.length === 0);
        const names = kind === 'wide' ? await page.evaluate(brokenNames) : [];
        hold(`${where}: names broken in mid-word: ${names.join('; ')}`, names.length === 0);
        if (kind === 'narrow' && most) await phone(page, most === 1 ? 'one' : name);
        if (most === 0 && says[name]) hold(`${where}: says why it is empty`, (await page.locator('main').innerText()).includes(says[name]));
        await picture(page, `${name}-${kind}-${most}`);
      }
      if (most === 50) {
        await page.goto(`${url}/#/calls`);
        // A phone has a quarter of the rows, and one button for more of them.
        const first = kind === 'wide' ? 100 : 25;
        await page.locator('.total', { hasText: new RegExp(`^10.000 calls, 1.234 live. The newest ${first} are shown.`) }).waitFor();
        hold(`${first} calls are shown`, await page.locator('tbody tr[data-row]:visible').count() === first);
        hold('one button shows more', await page.locator('main button', { hasText: /^Show/ }).filter({ visible: true }).count() === 1);
        await page.locator('button', { hasText: 'Show older calls' }).click();
        await page.locator('.total', { hasText: `The newest ${4 * first} are shown.` }).waitFor();
        hold(`${4 * first} calls are shown`, await page.locator('tbody tr[data-row]:visible').count() === 4 * first);
        await page.goto(`${url}/#/trunks`);
        await page.locator('main [role=status]', { hasText: '50 trunks: ' }).waitFor();
        await page.fill('[data-field=trunk]', 'trunk-1');
        await page.locator('main [role=status]', { hasText: '10 shown.' }).waitFor();
        hold('the filter of trunks holds', await page.locator('tbody tr[data-row]').count() === 10);
      }
      await page.context().close();
    }
  }
  const page = await opened(browser, url, {}, faults);
  await page.locator('.health').first().waitFor();
  await page.keyboard.press('Tab');
  hold('the first stop of Tab skips the menu', await page.evaluate(() => document.activeElement.className) === 'skip');
  await page.keyboard.press('Enter');
  hold('it leads to the page', await page.evaluate(() => document.activeElement.id) === 'main');
  await page.context().close();
}

async function walk(browser, url, faults) {
  const page = await opened(browser, url, { colorScheme: 'light' }, faults);
  const health = page.locator('.health');
  await health.locator('strong').first().waitFor();
  hold('the health sentence is not empty', (await health.innerText()).length > 5);
  await page.locator('.link.good').waitFor();
  await page.locator('.plots svg').first().waitFor();
  await plots(page);
  await picture(page, 'overview-light', true);
  hold('problems of the demo are shown', await page.locator('table tbody tr').count() > 0);

  await page.keyboard.press('2');
  await page.locator('h1', { hasText: 'Calls' }).waitFor();
  const rows = page.locator('tbody tr[data-row]');
  await rows.nth(3).waitFor();
  hold('the demo has four calls', await rows.count() === 4);
  await picture(page, 'calls-light', true);
  await calls(page, url);
  await page.selectOption('select >> nth=2', 'failed_over');
  await until(page, () => location.hash.includes('flag=failed_over'));
  await until(page, () => document.querySelectorAll('tbody tr[data-row]').length === 2);
  await page.keyboard.press('/');
  await page.keyboard.type('5550103');
  await page.keyboard.press('Enter');
  await until(page, () => location.hash.includes('search=5550103') && document.querySelectorAll('tbody tr[data-row]').length === 1);
  for (const written of ['555-0103', '(555) 0103', (await rows.first().locator('td').nth(1).innerText()).split('→').pop().trim()]) {
    await page.goto(`${url}/#/calls`);
    await rows.nth(3).waitFor();
    await page.fill('#search', written);
    await page.keyboard.press('Enter');
    await until(page, () => location.hash.includes('search=') && document.querySelectorAll('tbody tr[data-row]').length === 1);
  }
  await page.goto(`${url}/#/calls?outcome=bogus`);
  await page.locator('#refused.bad', { hasText: 'bogus' }).waitFor();
  hold('a bad filter is named with a way out', await page.locator('#refused a').getAttribute('href') === '#/calls');
  await page.goto(`${url}/#/calls`);
  await rows.nth(3).waitFor();
  for (const key of ['j', 'j', 'j']) await page.keyboard.press(key);
  hold('the chosen row has the focus', await page.evaluate(() => document.activeElement.matches('tr.chosen') && document.activeElement === document.querySelectorAll('tbody tr[data-row]')[2]));
  for (const key of ['k', 'Enter']) await page.keyboard.press(key);
  await page.locator('svg.ladder').waitFor();
  hold('the third row was opened by keys', /#\/calls\/CA[0-9a-f]{32}$/.test(page.url()));
  hold('there is a verdict', (await page.locator('.verdict').innerText()).length > 10);
  const messages = page.locator('svg.ladder g[role=button]');
  hold('the ladder has messages', await messages.count() > 6);
  await messages.first().scrollIntoViewIfNeeded();
  const place = () => messages.first().evaluate((one) => Math.round(one.getBoundingClientRect().top));
  const still = await place();
  await messages.first().click();
  hold(`the first click moves no row: ${still}, ${await place()}`, Math.abs(await place() - still) <= 1);
  const shown = page.locator('.message');
  await shown.locator('h3').first().waitFor();
  hold('the selected message is shown', (await shown.innerText()).includes('INVITE sip:') && !(await shown.innerText()).includes('[object'));
  hold('the message is shown as it was on the wire', (await shown.locator('pre').first().innerText()).startsWith('INVITE sip:'));
  hold('the changes by the edge are shown', await shown.locator('.diff .gone').count() > 0 && await shown.locator('.diff .new').count() > 0);
  hold('the message is beside the ladder', await page.evaluate(() => document.querySelector('.message').getBoundingClientRect().left > document.querySelector('.ladder-box').getBoundingClientRect().right));
  await messages.nth(1).focus();
  await page.keyboard.press('Enter');
  await until(page, () => document.querySelector('svg.ladder g.chosen')?.dataset.row !== '0');
  await messages.first().click();
  hold('the media map has its legs', await page.locator('.media .card').count() >= 2);
  hold('quality is plotted, or the page says why it is not', await page.locator('section[aria-label=Quality] figure, section[aria-label=Quality] .empty').count() > 0);
  const queue = page.locator('section[aria-label=Quality] figure svg[aria-label^="Agent: queued audio"]');
  hold('the agent\u2019s queue is plotted and described in words', (await queue.getAttribute('aria-label')).includes(', not read yet: last '));
  await page.locator('section[aria-label="Routing"] tbody tr').first().waitFor();
  hold('the time zone of the pages is named', /^UTC([+−]\d+(:\d\d)?)?$/.test(await page.locator('#zone').innerText()));
  const passed = await page.locator('section[aria-label="Routing"] tbody tr', { hasText: 'an earlier route matched' }).count();
  hold('routes that were not evaluated are one row at most', passed <= 1);
  const save = page.locator('section[aria-label=Downloads] button', { hasText: 'Ladder as text' });
  await save.waitFor();
  const [file] = await Promise.all([page.waitForEvent('download'), save.click()]);
  hold('a download has its name', file.suggestedFilename().endsWith('.txt'));
  for (const title of ['Ladder as SVG', 'Messages as pcapng']) hold(`there is ${title}`, await page.locator('section[aria-label=Downloads] button', { hasText: title }).count() === 1);
  await picture(page, 'call-light', true);
  await page.keyboard.press('Escape');
  hold('Escape closes the message and stays on the call', await page.locator('.message h3').count() === 0 && page.url().includes('#/calls/CA'));
  await page.keyboard.press('Escape');
  await page.locator('h1', { hasText: 'Calls' }).waitFor();
  await until(page, () => document.activeElement.matches('tr.chosen') && document.activeElement === document.querySelectorAll('tbody tr[data-row]')[1]);
  await rows.nth(2).locator('a').click();
  await page.locator('svg.ladder').waitFor();
  await page.goBack();
  await until(page, () => document.activeElement.closest('tr[data-row]') === document.querySelectorAll('tbody tr[data-row]')[2]);

  for (const [key, title] of [['3', 'Trunks'], ['4', 'Routes'], ['5', 'Agents'], ['6', 'Conferences'], ['r', 'Recordings'], ['v', 'Voicemail'], ['7', 'API'], ['8', 'Security'], ['9', 'System']]) {
    await page.keyboard.press(key);
    await page.locator('h1', { hasText: title }).waitFor();
    await page.locator(['Conferences', 'Recordings', 'Voicemail'].includes(title) ? 'main .empty' : FILLED).first().waitFor();
    if (title === 'Trunks') await listed(page, 'RTT', title);
    if (title === 'Agents') await listed(page, 'Callers', title);
    if (title === 'Routes') {
      await page.fill('#why-called', '+12125550101');
      await page.locator('section[aria-label^="Test a call"] tbody tr').first().waitFor();
      hold('the test of a call shows the matching route', (await page.locator('section[aria-label^="Test a call"] .chosen-route .chip.good').count()) === 1);
      hold('the targets have their states', await page.locator('section[aria-label^="Test a call"] .targets .chip').count() > 0);
      await page.locator('h1').click();
      const whole = () => page.evaluate(() => document.querySelector('main').innerText.includes('+12125550101'));
      hold('the explanation of a route is masked', !await whole());
      await page.keyboard.press('m');
      await until(page, () => document.querySelector('main').innerText.includes('+12125550101'));
      await page.keyboard.press('m');
      await until(page, () => !document.querySelector('main').innerText.includes('+12125550101'));
    }
    if (title === 'System') {
      hold('a TLS listener shows the time left', await page.locator('section[aria-label=Listeners] tr', { hasText: 'tls' }).filter({ hasText: /(\d (day|year)s? left|no expiry)/ }).count() === 1);
    }
    await picture(page, `${title.toLowerCase()}-light`, true);
  }
  for (const [hash, says] of [['call/CAnone', 'Unknown call: CAnone'], ['calls/CAnone', 'Unknown call'], ['nowhere', 'Unknown page #/nowhere'], ['overview/x', 'Unknown page'], ['%', 'Unknown page']]) {
    await page.goto(`${url}/#/${hash}`);
    await page.locator('.verdict.bad', { hasText: says }).waitFor();
    hold(`${hash} shows no other page`, await page.locator('main svg').count() === 0 && await page.locator('main table:visible').count() === 0);
  }
  await page.goto(`${url}/#/system`);
  await page.locator('main table').first().waitFor();
  await page.keyboard.press('?');
  await page.locator('#help-dialog[open]').waitFor();
  await picture(page, 'help-light');
  await page.keyboard.press('Escape');
  await page.locator('#help-dialog[open]').waitFor({ state: 'detached' });
  await page.keyboard.press('t');
  hold('the theme is switched', await page.evaluate(() => document.documentElement.dataset.theme) === 'dark');

  for (const [kind, options] of [['dark', { colorScheme: 'dark' }], ['narrow', { colorScheme: 'light', viewport: NARROW }]]) {
    const other = await opened(browser, url, options, faults);
    await other.locator('.plots svg').first().waitFor();
    for (const name of ['overview', 'calls', 'call', 'trunks', 'routes', 'agents', 'security', 'system']) {
      if (name === 'call') {
        await other.goto(`${url}/#/calls`);
        await other.locator('tbody tr[data-row] a').nth(2).click();
        await other.locator('svg.ladder').waitFor();
        await other.locator('svg.ladder g[role=button]').first().click();
        await other.locator('section[aria-label="Routing"] tbody tr').first().waitFor();
      } else {
        await other.goto(`${url}/#/${name}`);
        await other.locator(name === 'overview' ? '.health.good, .health.bad, .health.warn, .health.plain' : 'main h1').first().waitFor();
        await other.locator(FILLED).first().waitFor();
      }
      hold(`${name} fits the width (${kind})`, await overflow(other) <= 0);
      if (kind === 'narrow') await phone(other, name);
      await picture(other, `${name}-${kind}`, true);
    }
  }
}

async function live(browser, url, token, faults) {
  const page = await opened(browser, url, { colorScheme: 'dark' }, faults);
  await page.locator('#token-dialog[open]').waitFor();
  await page.fill('#token', 'wrong');
  await page.keyboard.press('Enter');
  await page.locator('#token-error', { hasText: 'rejected' }).waitFor();
  await picture(page, 'token');
  const kept = () => page.evaluate(() => sessionStorage.getItem('trunkgate.token'));
  hold('a token that was rejected is forgotten', await kept() === null);
  await page.fill('#token', `${token}\u200b`);
  await page.keyboard.press('Enter');
  await page.locator('#token-error', { hasText: 'U+200B' }).waitFor();
  hold('a token with an invisible character is not tried', await kept() === null && await page.locator('#token-dialog[open]').count() === 1);
  for (const wrong of ['ö', 'токен', 'wrong', 'wrong again']) {
    await page.fill('#token', wrong);
    await page.keyboard.press('Enter');
    await until(page, () => document.querySelector('#token').value === '' && document.querySelector('#token-dialog').open && document.querySelector('#token-error').textContent.includes('rejected'));
  }
  hold('a token of any letters is rejected by the edge, which answers', await kept() === null && await page.locator('#lost').count() === 0);
  await page.fill('#token', `  ${token} `);
  await page.keyboard.press('Enter');
  await page.locator('.health').waitFor();
  await page.locator('.link.good').waitFor();
  hold('after the sign-in the focus is on the page', await page.evaluate(() => document.activeElement.matches('h1')));
  hold('the token is in no address', !page.url().includes(token));
  await page.goto(`${url}/#/security`);
  const failed = page.locator('section[aria-label="Wrong credentials"] tbody tr', { hasText: 'console' });
  await failed.waitFor();
  hold(`the wrong tokens are on the page Security: ${await failed.innerText()}`, Number((await failed.locator('td').nth(3).innerText()).replace(/\D/g, '')) >= 5);
  await picture(page, 'security-tokens');
  await page.goto(`${url}/#/calls?state=answered`);
  await page.locator('.chip.live', { hasText: 'answered' }).first().waitFor();
  await page.locator('tbody tr[data-row] a').first().click();
  const button = page.locator('.title-row button.danger', { hasText: 'Hang up' });
  await button.waitFor();
  await picture(page, 'call-live', true);
  await page.locator('section[aria-label="Recordings"] .empty', { hasText: 'has not ended' }).waitFor();
  // Enough audio to seek in.
  await page.locator('dd', { hasText: /^([6-9](\.\d)?|[1-9]\d) s$|^\d+ min/ }).first().waitFor();
  await button.click();
  await page.locator('#ask-dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  hold('Escape does not hang up', await button.count() === 1);
  await button.click();
  await page.locator('#ask-yes').click();
  await page.locator('dd', { hasText: 'operator' }).first().waitFor();
  await until(page, () => document.activeElement.matches('h1'));
  await recording(page, token);
  await recorded(page, url);
  await page.goto(`${url}/#/system`);
  await page.locator('button', { hasText: 'Reload' }).click();
  await page.locator('p.good', { hasText: "Reloaded" }).waitFor();
  await page.locator('main button.danger', { hasText: 'Drain' }).click();
  await page.locator('#ask-yes').click();
  await page.locator('p.verdict', { hasText: /Drain/ }).waitFor();
  await picture(page, 'drain');
  await page.locator('button', { hasText: 'Accept calls again' }).click();
  await page.locator('main button.danger', { hasText: 'Drain' }).waitFor();
}

/** Plays the recording of the call on the page, seeks in it by mouse and keyboard, and looks at its waveform. */
async function recording(page, token) {
  const part = page.locator('section[aria-label="Recordings"]');
  const parts = [];
  page.on('response', (response) => {
    if (new URL(response.url()).pathname.endsWith('/audio')) parts.push({ status: response.status(), url: response.url() });
  });
  const wave = part.locator('canvas[data-drawn=true]');
  await wave.waitFor();
  // Pixels of a lane above the background of a recording.
  const painted = () => wave.evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colours.add(`${data[at]} ${data[at + 1]} ${data[at + 2]}`);
    return colours.size;
  });
  hold('the waveform is drawn', await painted() > 3);
  const place = () => part.locator('audio').evaluate((audio) => audio.currentTime);
  await part.getByRole('button', { name: 'Play the recording' }).click();
  await until(page, () => document.querySelector('audio').currentTime > 0.5);
  hold('the row of the ladder that is played is marked', await page.locator('svg.ladder g.played').count() === 1);
  await part.getByRole('button', { name: 'Pause the recording' }).click();
  await until(page, () => document.querySelector('audio').paused);
  const box = await wave.boundingBox();
  await wave.click({ position: { x: box.width * 0.8, y: box.height / 2 } });
  await until(page, () => document.querySelector('audio').currentTime > 2.5);
  const before = await place();
  await wave.focus();
  await page.keyboard.press('ArrowLeft');
  await until(page, () => !document.querySelector('audio').seeking);
  hold(`the arrow key seeks: ${before}, ${await place()}`, before - await place() > 1);
  await page.keyboard.press(' ');
  await until(page, () => !document.querySelector('audio').paused);
  await page.keyboard.press(' ');
  await until(page, () => document.querySelector('audio').paused);
  hold(`audio comes by byte ranges: ${JSON.stringify(parts)}`, parts.length > 0 && parts.every(({ status }) => status === 206));
  hold('the token is in no address of audio', parts.every(({ url }) => !url.includes(encodeURIComponent(token)) && !url.includes('?')));
  hold('the place has words', /^\d:\d\d of \d:\d\d$/.test(await wave.getAttribute('aria-valuetext')));
  const unnamed = await page.evaluate(nameless);
  hold(`controls of the recording without a name: ${unnamed.join('; ')}`, unnamed.length === 0);
  await picture(page, 'recording', true);
  await page.setViewportSize(NARROW);
  hold('the recording fits a phone', await overflow(page) <= 0);
  await picture(page, 'recording-narrow', true);
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: 'light' });
  hold('the waveform is drawn in light colours', await painted() > 3);
  await page.emulateMedia({ colorScheme: 'dark' });
}

/** The page of recordings: the only one is opened, played and deleted. */
async function recorded(page, url) {
  await page.goto(`${url}/#/recordings`);
  await page.locator('.total', { hasText: '1 recording.' }).waitFor();
  await page.locator('button.expand').first().click();
  await page.locator('tr.detail .player').waitFor();
  await page.getByRole('button', { name: /^Play recording RE/ }).click();
  await until(page, () => document.querySelector('audio').currentTime > 0.3);
  await page.getByRole('button', { name: /^Pause recording RE/ }).click();
  await until(page, () => document.querySelector('audio').paused);
  const unnamed = await page.evaluate(nameless);
  hold(`controls of the page of recordings without a name: ${unnamed.join('; ')}`, unnamed.length === 0);
  await picture(page, 'recordings', true);
  await page.setViewportSize(NARROW);
  hold('the page of recordings fits a phone', await overflow(page) <= 0);
  await page.setViewportSize(WIDE);
  const remove = page.getByRole('button', { name: /^Delete recording RE/ });
  await remove.click();
  await page.locator('#ask-dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  hold('Escape does not delete', await page.locator('tbody tr[data-row]', { hasText: 'completed' }).count() === 1);
  await remove.click();
  await page.locator('#ask-yes').click();
  await page.locator('tbody tr[data-row]', { hasText: 'deleted' }).waitFor();
  await page.locator('tr.detail .empty', { hasText: 'The audio was deleted.' }).waitFor();
  await page.goto(`${url}/#/voicemail`);
  await page.locator('h2', { hasText: 'Messages of front' }).waitFor();
  hold('a mailbox without messages is listed', /front\s+0\s+0/.test(await page.locator('main table').first().innerText()));
}

async function told(browser, url, sid, faults) {
  const page = await opened(browser, url, { colorScheme: 'light' }, faults);
  // Compared without white space, backticks and case.
  const squeezed = (text) => text.replace(/[\s`]/g, '').toLowerCase();
  const shown = () => page.locator('main').innerText();
  const lacking = (text) => all('says').filter((part) => !squeezed(text).includes(squeezed(part)));
  for (const [name, hash, there, height] of [['overview', '/', '.health', 620], ['call', `/calls/${sid}`, 'svg.ladder', 900]]) {
    await page.setViewportSize({ width: WIDE.width, height });
    await page.goto(`${url}/#${hash}`);
    await page.locator(there).first().waitFor();
    await page.locator('.link.good').waitFor();
    let text = await shown();
    for (const end = Date.now() + PATIENCE; Date.now() < end && lacking(text).length; text = await shown()) {
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
    hold(`${name} says ${lacking(text)}: ${text}`, !lacking(text).length);
    for (const part of all('not')) hold(`${name} does not say ${part}`, !squeezed(text).includes(squeezed(part)));
    if (flag('page') === name) await picture(page, flag('picture'));
  }
}

/** The response times of an agent on its page and on that of its call. */
async function turns(browser, url, faults) {
  const page = await opened(browser, url, { colorScheme: 'light' }, faults);
  await page.goto(`${url}/#/agents`);
  await page.locator('tbody tr[data-row]').first().waitFor();
  const heads = await page.locator('main thead').first().locator('th').allInnerTexts();
  const cells = page.locator('tbody tr[data-row]').first().locator('td');
  const values = [];
  for (const name of ['Turn p50', 'Turn p95']) {
    const at = heads.findIndex((head) => head.trim().toLowerCase().startsWith(name.toLowerCase()));
    hold(`Agents has ${name}`, at >= 0);
    const shown = (await cells.nth(at).innerText()).trim();
    hold(`${name} has a value: ${shown}`, /^(\d+ ms|\d+\.\d s)$/.test(shown));
    values.push(Number.parseFloat(shown) * (shown.endsWith(' ms') ? 1 : 1000));
  }
  hold(`p95 is no less than p50: ${values}`, values[0] > 0 && values[1] >= values[0]);
  await picture(page, 'turns-agents', true);
  await page.goto(`${url}/#/calls`);
  await page.locator('tbody tr[data-row] a').first().click();
  const part = page.locator('section[aria-label="Response time"]');
  await part.locator('tbody tr').first().waitFor();
  const text = await part.innerText();
  for (const [name, value] of [['Turns', /Turns\s+\d/i], ['p50', /p50\s+[\d.]+ m?s/i], ['the edge', /Edge\s+[\d.,]+ ms/], ['the network', /Network to the agent\s+[\d.,]+ ms/], ['the agent', /Agent\s+[\d.,]+ ms/]]) hold(`the call has ${name}: ${text}`, value.test(text));
  hold('what is not known is not shown', !/(null|NaN|undefined|–)/.test(text));
  await picture(page, 'turns-call', true);
  await page.setViewportSize(NARROW);
  hold('the call fits a phone', await overflow(page) <= 0);
}

/** Takes the pictures of docs/images; prints their names. */
async function pictures(browser, url, faults) {
  const page = await opened(browser, url, { colorScheme: 'light', viewport: { width: 1360, height: 900 } }, faults);
  const newest = async (filter) => {
    const { calls } = await (await fetch(`${url}/v1/calls?${filter}&limit=1`)).json();
    hold(`there is a call with ${filter}`, calls.length === 1);
    return calls[0].sid;
  };
  const all = [
    ['console-overview', '/overview', '.plots svg', 1060],
    ['console-call', `/calls/${await newest('search=%2B13125550170')}`, 'svg.ladder', 880, '403 Caller Not Permitted', 'from carrier-west'],
    ['call-failover', `/calls/${await newest('search=%2B13125550120')}`, 'svg.ladder', 920, '200 OK', 'from pbx'],
    ['console-trunks', '/trunks?trunk=branch', 'tr.detail .details', 640],
    ['console-agents', '/agents?agent=booking', 'tr.detail .details', 500],
  ];
  for (const [name, hash, there, height, message, way] of all) {
    await page.setViewportSize({ width: 1360, height });
    await page.goto(`${url}/#${hash}`);
    await page.locator(there).first().waitFor();
    await page.locator('.link.good').waitFor();
    if (hash.startsWith('/calls/')) await page.locator('section[aria-label="Routing"] tbody tr').first().waitFor();
    if (message) await page.locator(`svg.ladder g[role=button][aria-label*="${message}"][aria-label*="${way}"]`).first().click();
    await picture(page, name);
    console.log(`${name}.png`);
  }
  await page.goto(`${url}/#/calls/${await newest('search=%2B13125550131&state=ended')}`);
  const part = page.locator('section[aria-label="Recordings"]');
  await part.locator('canvas[data-drawn=true]').waitFor();
  await part.screenshot({ path: `${OUT}/console-recording.png` });
  console.log('console-recording.png');
}

/** A conference of two phones: its parties, what a person does with them, and its end; on a desktop, then as wide as a phone. */
async function conferred(browser, url, faults) {
  const page = await opened(browser, url, {}, faults);
  await page.goto(`${url}/#/conferences`);
  const rows = page.locator('tbody tr[data-row]');
  await page.locator('.total', { hasText: '1 live, 2 parties; 0 ended.' }).waitFor();
  hold('the conference is named', (await rows.first().innerText()).includes('weekly'));
  await page.locator('button.expand').first().click();
  const parties = page.locator('.details table tbody tr');
  await parties.nth(1).waitFor();
  hold('it has two parties', await parties.count() === 2);
  const first = parties.first();
  const button = (name) => first.locator('button', { hasText: new RegExp(`^${name}$`) });
  const focus = () => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  const party = await first.locator('a').first().innerText();
  hold('every column of it has a name', await page.evaluate(() => [...document.querySelectorAll('th')].every((one) => one.textContent.trim())));
  await button('Mute').focus();
  await page.keyboard.press('Enter');
  await first.locator('.chip', { hasText: 'muted' }).waitFor();
  hold(`the focus stays where Mute becomes Unmute: ${await focus()}`, (await focus()).startsWith(`Unmute ${party} (joined `));
  await button('Hold').focus();
  await page.keyboard.press('Enter');
  await first.locator('.chip', { hasText: 'on hold' }).waitFor();
  hold(`the focus stays where Hold becomes Resume: ${await focus()}`, (await focus()).startsWith(`Resume ${party} (joined `));
  await picture(page, 'conferences');
  await button('Unmute').click();
  await first.locator('.chip', { hasText: 'muted' }).waitFor({ state: 'detached' });
  await button('Resume').click();
  await first.locator('.chip', { hasText: 'on hold' }).waitFor({ state: 'detached' });
  await button('Remove').click();
  await page.locator('#ask-dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  hold('Escape removes none', await parties.count() === 2);
  await page.setViewportSize(NARROW);
  hold('it fits a phone', await overflow(page) <= 0);
  await picture(page, 'conferences-phone');
  await page.setViewportSize(WIDE);
  await button('Remove').focus();
  await page.keyboard.press('Enter');
  await page.locator('#ask-yes').click();
  await parties.nth(1).waitFor({ state: 'detached' });
  hold('after Remove the focus is on the conference', await page.evaluate(() => document.activeElement.matches('button.expand')));
  await page.locator('button', { hasText: 'End conference' }).click();
  await page.locator('#ask-yes').click();
  await page.locator('.total', { hasText: '0 live, 0 parties; 1 ended.' }).waitFor();
  hold('its end has a reason', (await rows.first().innerText()).includes('ended by an operator or the API'));
  hold('a link has the open conference', page.url().includes('conference=CF'));
  await page.locator('a', { hasText: 'Calls of this conference' }).first().click();
  await page.locator('.total', { hasText: '2 calls match the filter' }).waitFor();
  await page.route((at) => at.pathname === '/v1/queues', async (route) => {
    const response = await route.fetch();
    const call = (position) => ({ call: `CA${String(position).padStart(32, '0')}`, from: '+14155550112', to: '+13125550100', position, waited_seconds: 60 - position, enqueued_at: new Date().toISOString() });
    const queue = (name, size) => ({ sid: `QU${name}`, name, size, max_size: 1000, average_wait_seconds: 41, longest_wait_seconds: 60, dialling: 0, created_at: new Date().toISOString(), calls: Array.from({ length: size }, (_, at) => call(at + 1)) });
    await route.fulfill({ response, json: { queues: [queue('support', 5), queue('a-queue-with-a-name-that-is-as-long-as-the-names-of-queues-may-be', 1), queue('empty', 0)] } });
  });
  await page.goto(`${url}/#/conferences`);
  const queues = page.locator('section[aria-label=Queues]');
  await queues.locator('button.expand', { hasText: 'support' }).click();
  await queues.locator('tr.detail tbody tr').nth(4).waitFor();
  for (const size of [WIDE, NARROW]) {
    await page.setViewportSize(size);
    await page.reload();
    await queues.locator('button.expand', { hasText: 'support' }).click();
    await queues.locator('tr.detail tbody tr').nth(4).waitFor();
    const broken = await page.evaluate(torn);
    hold(`queues fit ${size.width} pixels: ${broken.join('; ')}`, await overflow(page) <= 0 && broken.length === 0);
    await picture(page, `queues-${size.width}`, true);
  }
  await page.context().close();
}

async function run() {
  const browser = await chromium.launch({ executablePath: flag('chromium') || '/usr/bin/chromium', headless: true, args: FLAGS });
  const faults = [];
  try {
    if (flag('walk')) {
      for (const part of [walk, sizes, mended, read, crowded, failing, between, counted, filtered, accessible, stopped, hung]) {
        if ([null, part.name].includes(flag('part'))) await part(browser, flag('walk'), faults);
      }
    }
    if (flag('told')) await told(browser, flag('told'), flag('sid'), faults);
    if (flag('turns')) await turns(browser, flag('turns'), faults);
    if (flag('pictures')) await pictures(browser, flag('pictures'), faults);
    if (flag('conference')) await conferred(browser, flag('conference'), faults);
    if (flag('live')) await live(browser, flag('live'), flag('token'), faults);
  } finally {
    await browser.close();
  }
  if (faults.length) throw new Error(faults.join('\n'));
  console.log(`${checks} checks, no error of a page, nothing fetched from elsewhere`);
}

run().catch((error) => {
  console.error(error.stack || error.message);
  process.exit(1);
});
