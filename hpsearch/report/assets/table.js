// The table of trials, with filters, sorting, pages, and details of a chosen trial.

const PAGE = 20;

class TrialTable {
  constructor(trials, onChoose) {
    this.trials = trials;
    this.onChoose = onChoose;
    this.sort = { column: null, down: false };
    this.page = 0;
    this.chosen = null;
    this.status = el("p", { className: "note", role: "status", "aria-live": "polite" });
    this.head = el("tr");
    this.body = el("tbody");
    this.back = el("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.forth = el("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.detail = el("div", { className: "detail", hidden: true, tabindex: "-1" });
    const region = el(
      "div",
      { className: "scroll", tabindex: "0", role: "region", "aria-label": "Trials" },
      el("table", { id: "trials" }, el("thead", {}, this.head), this.body),
    );
    this.node = el("div", {}, region, el("div", { className: "controls", style: "margin-top:.6rem" },
      this.back, this.forth, this.status));
    this.columns = trials.columns.filter((column) => !column.detail);
    this.drawHead();
    this.update();
  }

  drawHead() {
    const cells = this.columns.map((column) => {
      const on = this.sort.column === column;
      const mark = on ? (this.sort.down ? " ▼" : " ▲") : "";
      const button = el("button", { type: "button", onclick: () => this.sortBy(column) }, column.label + mark);
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
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    this.back.disabled = this.page === 0;
    this.forth.disabled = this.page >= pages - 1;
    const { sweep, size, filtered } = this.trials;
    const span = rows.length ? `${count(first + 1)} to ${count(first + shown.length)} of ` : "";
    const which = filtered ? "trials in the brushed ranges" : "trials";
    const left = sweep.total > size ? `; the page holds ${count(size)} of ${count(sweep.total)}` : "";
    this.status.textContent = `${span}${count(rows.length)} ${which}${left}`;
    this.status.dataset.matching = rows.length;
  }

  line(row) {
    const cells = this.columns.map((column, index) => {
      const text = this.trials.text(column, row);
      if (index === 0) {
        const pick = { type: "button", className: "pick", "aria-label": `Trial ${text}: show its configuration`,
          onclick: () => this.choose(column.values[row], true) };
        return el("td", {}, el("button", pick, text));
      }
      if (column.name === "status") {
        const good = text === "completed" || text === "stopped";
        return el("td", { className: "words" }, el("span", { className: `badge ${good ? "good" : "bad"}` }, text));
      }
      const long = text.length > 26;
      return el("td", { className: column.levels ? "words" : "", title: long ? text : null },
        long ? el("span", { className: "cut" }, text) : text);
    });
    const trial = this.trials.columns[0].values[row];
    return el("tr", { className: trial === this.chosen ? "chosen" : "" }, cells);
  }

  choose(trial, focus) {
    this.chosen = trial;
    this.update();
    const row = this.trials.rowOf.get(trial);
    if (row === undefined) return;
    const pairs = this.trials.columns.map((column) => [column.label, this.trials.text(column, row)]);
    const all = [...pairs, ...this.trials.sweep.constants];
    const close = el("button", { type: "button", className: "quiet", onclick: () => this.close() }, "Close");
    this.detail.replaceChildren(
      el("header", {}, el("h3", {}, `Trial ${trial}`), close),
      el("dl", { className: "pairs" }, all.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)))),
    );
    this.detail.hidden = false;
    if (focus) this.detail.focus({ preventScroll: false });
    this.onChoose(trial);
  }

  close() {
    this.chosen = null;
    this.detail.hidden = true;
    this.update();
    this.onChoose(null);
  }
}
