// The table of trials: one line a config, which opens in place; columns, filters, order.

const PAGE = 20;

class TrialTable {
  constructor(view) {
    this.view = view;
    this.trials = view.trials;
    this.sort = { column: null, down: false };
    this.page = 0;
    this.chosen = null;
    // Column -> whether the reader shows it.
    this.touched = new Map();
    if (!view.sweep.scored) this.trials.status = "all";
    this.status = el("p", { className: "note", role: "status", "aria-live": "polite" });
    this.head = el("tr");
    this.body = el("tbody");
    this.back = el("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.forth = el("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    // Where no trial has a score, how each ended is all there is.
    const detail = (column) => (view.sweep.scored ? column.detail : column.name === "score" || (column.detail && column.name !== "status"));
    this.shown = new Set(this.trials.columns.filter((column) => !detail(column)));
    const region = el("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": "Table of trials" },
      el("table", { id: "trials" }, el("thead", {}, this.head), this.body));
    this.node = el("div", {}, region, el("div", { className: "controls pages" }, this.back, this.forth, this.status));
    this.drawHead();
    this.update();
  }

  get columns() {
    const { trials } = this;
    // Trials with a score are completed, which need not be said of each.
    const said = trials.status !== "scored" || (trials.byName.get("status").levels || []).includes("stopped");
    return trials.columns.filter((column) => this.shown.has(column) && (said || column.name !== "status"));
  }

  /** Text filter, shown trials and columns. */
  controls() {
    this.search = el("input", { type: "search", placeholder: "relu adam", "aria-label": "Filter by words", oninput: () => {
      this.readWords();
      this.view.changed();
    } });
    const scored = this.trials.byName.get("score").values;
    const lost = scored.includes(null) && scored.some((value) => value !== null);
    const [which, select] = chooser("Show", [["scored", "trials with a score"], ["all", "all trials"], ["unscored", "trials without a score"]], (value) => {
      this.trials.status = value;
      this.drawHead();
      this.restart();
    }, this.trials.status);
    this.which = select;
    this.menu = this.columnMenu();
    return [this.search, lost && which, this.menu];
  }

  readWords() {
    this.trials.words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  }

  /** Show what a reader had before the page reloaded; see `viewState`. */
  restore({ words, caret, status, touched, sort, page, chosen, inView }) {
    for (const [name, on] of touched) {
      const column = this.trials.byName.get(name);
      if (column) this.shown[on ? "add" : "delete"](column);
      this.touched.set(name, on);
    }
    if (!this.search) return;
    this.search.value = words;
    this.search.setSelectionRange(caret, caret);
    this.readWords();
    if (status && this.which.isConnected) {
      this.trials.status = status;
      this.which.value = status;
    }
    const column = sort && this.trials.byName.get(sort[0]);
    if (column) this.sort = { column, down: sort[1] };
    this.chosen = chosen;
    const at = inView ? this.rows().indexOf(this.trials.rowOf.get(chosen)) : -1;
    this.page = at >= 0 ? Math.floor(at / PAGE) : page;
    const menu = this.columnMenu();
    this.menu.replaceWith(menu);
    this.menu = menu;
    this.drawHead();
    this.update();
    this.view.chose(chosen);
  }

  columnMenu() {
    const boxes = this.trials.columns.slice(1).map((column) => {
      const box = el("input", { type: "checkbox", onchange: () => {
        this.shown[box.checked ? "add" : "delete"](column);
        this.touched.set(column.name, box.checked);
        this.drawHead();
        this.update();
      } });
      box.checked = this.shown.has(column);
      return el("label", {}, box, column.label);
    });
    return el("details", { className: "menu" }, el("summary", {}, "Columns"), el("div", { className: "options" }, boxes));
  }

  restart() {
    this.page = 0;
    this.update();
  }

  drawHead() {
    const cells = this.columns.map((column) => {
      const on = this.sort.column === column;
      const mark = on ? (this.sort.down ? " ▼" : " ▲") : "";
      const button = el("button", { type: "button", onclick: () => this.sortBy(column) }, breakable(column.label), mark);
      const order = on ? (this.sort.down ? "descending" : "ascending") : "none";
      return el("th", { scope: "col", "aria-sort": order, className: column.levels ? "words" : "" }, button);
    });
    this.head.replaceChildren(...cells);
  }

  sortBy(column) {
    const same = this.sort.column === column;
    this.sort = { column, down: same ? !this.sort.down : false };
    this.page = 0;
    this.drawHead();
    this.update();
    this.head.children[this.columns.indexOf(column)].firstChild.focus();
  }

  turn(by) {
    this.page += by;
    this.update();
  }

  rows() {
    const rows = this.trials.matching();
    const { column, down } = this.sort;
    if (!column) return rows;
    const key = (row) => {
      const value = column.values[row];
      return value === null ? null : column.levels ? column.levels[value] : value;
    };
    return rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
  }

  update() {
    const rows = this.rows();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const first = this.page * PAGE;
    const shown = rows.slice(first, first + PAGE);
    this.body.replaceChildren(...shown.flatMap((row) => this.line(row)));
    this.back.hidden = this.forth.hidden = pages === 1;
    this.back.disabled = this.page === 0;
    this.forth.disabled = this.page >= pages - 1;
    const { sweep, size, filtered, words } = this.trials;
    const span = pages > 1 ? `${count(first + 1)} to ${count(first + shown.length)} of ` : "";
    const which = rows.length === 1 ? "trial" : "trials";
    const cut = filtered || words.length ? " that pass the filters" : "";
    const left = sweep.total > size ? `; the page holds ${count(size)} of ${count(sweep.total)}` : "";
    this.status.textContent = `${span}${count(rows.length)} ${which}${cut}${left}`;
    this.status.dataset.matching = rows.length;
  }

  line(row) {
    const trial = this.trials.columns[0].values[row];
    const chosen = trial === this.chosen;
    const cells = this.columns.map((column, index) => this.cell(column, row, index, chosen));
    const line = el("tr", { className: chosen ? "chosen" : "", onclick: (event) => {
      if (!event.target.closest("button, a") && !String(window.getSelection())) this.choose(chosen ? null : trial, false);
    } }, cells);
    return chosen ? [line, el("tr", { className: "opened" }, el("td", { colspan: this.columns.length }, detailOf(this.view, row)))] : [line];
  }

  cell(column, row, index, chosen) {
    const text = this.trials.text(column, row);
    if (index === 0) {
      const pick = { type: "button", className: "pick", "aria-label": `Trial ${text}: show its configuration`,
        "aria-expanded": String(chosen), onclick: () => this.choose(chosen ? null : column.values[row], true) };
      return el("td", {}, el("button", pick, text));
    }
    if (column.name === "score") {
      const spread = this.trials.byName.get("std");
      const known = spread && spread.values[row] !== null && column.values[row] !== null;
      return el("td", {}, text, known && el("span", { className: "spread" }, ` ± ${score(spread.values[row], column.values[row])}`));
    }
    if (column.name === "status") {
      const bad = text !== "completed" && text !== "stopped";
      return el("td", { className: "words" }, text !== "completed" && el("span", { className: bad ? "bad" : "spread" }, text));
    }
    const long = text.length > 26;
    return el("td", { className: column.levels ? "words" : "", title: long ? text : null },
      long ? el("span", { className: "cut" }, text) : text);
  }

  /** Open a trial's line; one that is not shown is looked up first. */
  choose(trial, focus) {
    this.chosen = trial;
    const row = this.trials.rowOf.get(trial);
    if (row !== undefined && !focus) {
      const at = this.rows().indexOf(row);
      if (at >= 0) this.page = Math.floor(at / PAGE);
    }
    this.update();
    if (focus) (this.body.querySelector("[aria-expanded=true].pick") || this.body.querySelector(".pick"))?.focus();
    this.view.chose(trial);
  }
}

/** A trial that is open in the table: its config, executions and learning curves. */
function detailOf(view, row) {
  const { trials } = view;
  const trial = trials.columns[0].values[row];
  const told = trials.columns.slice(1).filter((column) => column.values[row] !== null);
  const text = (column) => [column.label, trials.text(column, row)];
  const rest = trials.sweep.constants.filter(([, value]) => value !== "-").map(([name, value]) => [name, value]);
  const config = [...told.filter((column) => column.hyperparameter).map(text), ...rest];
  const other = told.filter((column) => !column.hyperparameter && column.name !== "score" && column.name !== "status").map(text);
  return el("div", { className: "detail", tabindex: "-1" },
    el("header", {}, el("h3", {}, `Trial ${trial}`), copyConfig(() => trials.config(row))),
    el("div", { className: "sides" },
      el("div", {}, pairsOf(config), pairsOf(other)),
      el("div", {}, executionsOf(trials.sweep, trial), curvesOf(view, trial))));
}

function pairsOf(pairs) {
  return el("dl", { className: "pairs" }, pairs.map(([name, text]) => el("div", {}, el("dt", {}, breakable(name)), el("dd", {}, breakable(text)))));
}

/** The executions of a trial, if trials have several. */
function executionsOf({ executions, metric }, trial) {
  if (!executions) return null;
  const rows = executions.rows.filter(([number]) => number === trial).map(([, ...cells]) => cells);
  // A column that is empty in each row tells nothing, nor does that each was completed.
  const kept = executions.names.map((name, index) => [name, index])
    .filter(([, index]) => rows.some((cells) => cells[index] !== null && cells[index] !== "completed"));
  const text = (name, cell) => (cell === null ? "-" : typeof cell !== "number" ? cell : name === "score" ? score(cell) : name === "seconds" ? seconds(cell) : brief(cell));
  return rows.length > 0 && listTable(kept.map(([name]) => (name === "score" ? metric : name)),
    rows.map((cells) => kept.map(([name, index]) => text(name, cells[index]))),
    kept.map(([name]) => (name === "status" ? "words" : name === "error" ? "long" : "number")));
}

/** The learning curves of a trial, if they are among those of the page. */
function curvesOf(view, trial) {
  const found = Object.entries(view.sweep.figures.curves)
    .map(([metric, spec]) => [metric, spec.data.find((trace) => trace.meta.trial === trial)])
    .filter(([, trace]) => trace);
  if (!found.length) return null;
  const pairs = grouped(found, ([metric]) => metric.replace(/^val_/, ""));
  const scored = view.sweep.metric.replace(/^val_/, "");
  const chosen = pairs.get(scored) || [...pairs.values()][0];
  const node = plot(`Learning curves of trial ${trial}: ${chosen.map(([metric]) => metric).join(" and ")} by epoch.`);
  const data = chosen.map(([metric, { x, y, mode }]) => ({
    type: "scatter", x, y, mode, name: inert(metric),
    line: metric.startsWith("val_") ? { color: "@accent", width: 2.5 } : { color: "@muted", width: 1.5, dash: "dot" },
  }));
  show(node, { data, layout: { height: 240, showlegend: true, xaxis: { title: { text: "epoch" }, rangemode: "tozero" }, yaxis: {} } },
    { name: `curves-trial-${trial}` });
  return node;
}
