// The page of a run that is under way: it reloads itself, and stays as the reader left it.

// A reader who typed, clicked or scrolled within this time is not disturbed.
const QUIET_MS = 1500;
// Whoever writes the page does so more often, also without new rows.
const SILENT_MS = 120000;

const isOpen = (end) => Math.abs(end) > 1e299;

/** A filter in words that hold when the axis has got other values, or another scale. */
function keptFilter(filters, column, ranges) {
  const choices = filters.choices(column);
  const inside = (at) => ranges.some(([low, high]) => at >= low && at <= high);
  const kind = column.levels ? "texts" : "numbers";
  if (choices) return { kind, off: choices.filter(([at]) => !inside(at)).map(([at]) => meaningOf(column, at)) };
  const value = (end) => (isOpen(end) ? null : meaningOf(column, end));
  return { kind, ranges: ranges.map((ends) => ends.map(value)) };
}

/** What a position on an axis means: a text, a number, or null where a hyperparameter is inactive. */
function meaningOf(column, at) {
  if (column.gaps && at === column.gap_position) return null;
  if (column.levels) return column.levels[at];
  return column.log ? 10 ** at : at;
}

/** The ranges of a kept filter; null if it no longer filters, or the column is of another kind. */
function rangesOf(filters, column, { kind, off, ranges }) {
  if (kind !== (column.levels ? "texts" : "numbers")) return null;
  const place = (value) => (column.log ? Math.log10(Math.max(value, Number.MIN_VALUE)) : value);
  if (ranges) return ranges.map(([low, high]) => [low === null ? -1e300 : place(low), high === null ? 1e300 : place(high)]);
  const same = (a, b) => a === b || (typeof a === "number" && typeof b === "number" && Math.abs(a - b) <= 1e-9 * Math.abs(a));
  const isOff = (at) => off.some((value) => same(value, meaningOf(column, at)));
  const choices = filters.choices(column);
  if (choices) {
    const on = choices.filter(([at]) => !isOff(at));
    return on.length === choices.length ? null : on.map(([at]) => [at, at]);
  }
  // There are too many values for boxes now: all but those that were switched off.
  const margin = (at) => Math.max(1e-8, 1e-6 * Math.abs(at));
  const holes = off.filter((value) => value !== null).map(place).sort((a, b) => a - b);
  const ends = [-1e300, ...holes.flatMap((at) => [at - margin(at), at + margin(at)]), 1e300];
  return holes.length ? Array.from({ length: holes.length + 1 }, (_, index) => ends.slice(2 * index, 2 * index + 2)) : null;
}

const FOCUSABLE = "a, button, input, select, summary, [tabindex]";

/** A name of an element that can have the focus, by which the next page finds it. */
function nameOf(node) {
  const label = node.getAttribute("aria-label") || (node.closest("label") || node).textContent;
  return [node.tagName, node.type || "", label].join("|");
}

/** Where the page stood when it was loaded, as `readerState` has it. */
let stoodAt = null;

/** The section at the top of the window, and how far it is above; as before, but for rounding. */
function standsAt() {
  const sections = [...document.querySelectorAll("section[id]")];
  const top = sections.find((section) => section.getBoundingClientRect().bottom > 0);
  if (!top) return null;
  const at = [top.id, top.getBoundingClientRect().top];
  return stoodAt && stoodAt[0] === at[0] && Math.abs(stoodAt[1] - at[1]) < 2 ? stoodAt : at;
}

/** What the reader set, and where the page stands. */
function readerState() {
  const focused = document.activeElement;
  return {
    at: standsAt(),
    aside: [...document.querySelectorAll(".scroll")].map((node) => node.scrollLeft),
    details: [...document.querySelectorAll("details")].map((node) => [node.firstChild.textContent, node.open]),
    theme: chosenTheme,
    focus: focused && focused.matches(FOCUSABLE) ? nameOf(focused) : null,
    view: opened && viewState(opened),
  };
}

function viewState({ table, trials, filters, metric }) {
  const kept = (column, index) => (trials.filters[index] ? [[column.name, keptFilter(filters, column, trials.filters[index])]] : []);
  return {
    sweep: trials.sweep.name,
    words: table.search ? table.search.value : "",
    caret: table.search ? table.search.selectionEnd : 0,
    // Without the choice, what is shown follows from the trials.
    status: table.which && table.which.isConnected ? trials.status : null,
    filters: trials.dimensions.flatMap(kept),
    touched: [...table.touched],
    sort: table.sort.column && [table.sort.column.name, table.sort.down],
    page: table.page,
    chosen: table.chosen,
    inView: table.chosen !== null && Boolean(table.body.querySelector(".opened")),
    metric,
  };
}

function restoreView(state) {
  const index = payload.sweeps.findIndex((sweep) => sweep.name === state.sweep);
  if (index < 0) return;
  if (index > 0) openSweep(index, false);
  const { table, trials, filters } = opened;
  for (const [name, kept] of state.filters) {
    const at = trials.dimensions.findIndex((column) => column.name === name);
    if (at >= 0) trials.filters[at] = rangesOf(filters, trials.dimensions[at], kept);
  }
  filters.drawForm();
  if (opened.curves && state.metric in trials.sweep.figures.curves) opened.drawCurves(state.metric);
  table.restore(state);
  if (opened.parallel) opened.parallel.paintSoon();
}

function restoreScroll({ at, aside }) {
  document.querySelectorAll(".scroll").forEach((node, index) => { node.scrollLeft = aside[index] || 0; });
  const section = at && document.getElementById(at[0]);
  if (section) window.scrollBy({ top: section.getBoundingClientRect().top - at[1], behavior: "instant" });
}

function restoreReader(state) {
  stoodAt = state.at;
  if (state.theme) chooseTheme(state.theme);
  if (state.view && payload.sweeps.length) restoreView(state.view);
  const open = new Map(state.details);
  for (const node of document.querySelectorAll("details")) node.open = open.get(node.firstChild.textContent) || false;
  const focused = state.focus && [...document.querySelectorAll(FOCUSABLE)].find((node) => nameOf(node) === state.focus);
  if (focused) focused.focus({ preventScroll: true });
  restoreScroll(state);
  // A browser may scroll to the fragment of the address once the page has loaded.
  window.addEventListener("load", () => restoreScroll(state), { once: true });
}

/** Returns whether the reader is busy: a field with the focus may hold what is not yet read. */
function watchReader() {
  let quietFrom = 0;
  let pressed = false;
  const wait = () => { quietFrom = Date.now() + QUIET_MS; };
  const release = () => {
    pressed = false;
    wait();
  };
  for (const name of ["keydown", "wheel", "touchmove", "scroll", "change"]) window.addEventListener(name, wait, { passive: true });
  window.addEventListener("pointerdown", (event) => { pressed = event.button === 0; });
  for (const name of ["pointerup", "pointercancel", "contextmenu", "blur"]) window.addEventListener(name, release);
  return () => pressed || Date.now() < quietFrom || Boolean(String(window.getSelection()))
    || document.activeElement.matches("input[type=number], select");
}

function startLive() {
  const { history, location } = window;
  const before = history.state && history.state.live ? history.state : null;
  // The last page that a live one loads is no longer live.
  if (before) restoreReader(before);
  history.replaceState(null, "");
  if (!payload.live) return;
  const { written, seconds } = payload.live;
  const since = before && before.written === written ? before.since : Date.now();
  const mark = document.getElementById("live");
  mark.hidden = false;
  history.scrollRestoration = "manual";
  const isBusy = watchReader();
  const reload = () => {
    if (Date.now() - since > SILENT_MS) {
      mark.textContent = `no longer live: written ${written}`;
      return;
    }
    const busy = isBusy();
    mark.textContent = `● live, ${written}${busy ? ", waiting" : ""}`;
    if (busy) {
      setTimeout(reload, 250);
      return;
    }
    history.replaceState({ live: true, written, since, ...readerState() }, "");
    location.reload();
  };
  mark.textContent = `● live, ${written}`;
  setTimeout(reload, seconds * 1000);
}
