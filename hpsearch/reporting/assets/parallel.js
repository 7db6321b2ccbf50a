// Parallel coordinates: each trial is a line through its hyperparameters to its score.
// Plotly's needs eval, which the page's policy forbids.

const PARALLEL = { height: 400, top: 52, bottom: 18, gap: 34, side: 54, least: 104, zone: 26 };

/** Ticks of an axis of numbers between two positions, which are powers of ten on a log axis. */
function numberTicks(low, high, log, text = brief) {
  if (log) {
    const steps = high - low > 3 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
    const found = [];
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const step of steps) found.push(power + Math.log10(step));
    }
    const inside = found.filter((at) => at >= low - 1e-9 && at <= high + 1e-9);
    return (inside.length > 1 ? inside : [low, high]).map((at) => [at, brief(Number((10 ** at).toPrecision(3)))]);
  }
  if (!(high > low)) return [[low, brief(low)]];
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) {
    found.push([at, text(Number(at.toPrecision(6)))]);
  }
  return found;
}

const tickOfScore = (value) => (Math.abs(value) >= 1000 && Math.abs(value) < MOST_SPELT ? thousands(value) : brief(value));

class Parallel {
  constructor(view) {
    this.view = view;
    this.trials = view.trials;
    const { dimensions } = this.trials;
    this.axes = dimensions.map((column) => this.axis(column));
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.overlay = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.overlay.setAttribute("aria-hidden", "true");
    this.labels = el("div", { className: "axis-labels" });
    this.node = el("div", { className: "parallel plot", style: `min-width:${dimensions.length * PARALLEL.least}px` },
      this.canvas, this.overlay, this.labels);
    drawn.set(this.node, { paint: () => this.paint() });
    observer.observe(this.node);
    new ResizeObserver(() => {
      if (this.width && this.width !== this.node.clientWidth) this.paint();
    }).observe(this.node);
  }

  /** Range, ticks and the place of each row; trials of one value lie side by side, the best on top. */
  axis(column) {
    const { sweep, size } = this.trials;
    const score = column.name === "score";
    const at = Array.from({ length: size }, (_, row) => this.trials.position(column, row));
    const seen = at.filter((value, row) => value !== null && column.values[row] !== null);
    let [low, high] = score ? sweep.scale : seen.reduce(([a, b], place) => [Math.min(a, place), Math.max(b, place)], [Infinity, -Infinity]);
    if (column.levels) [low, high] = [-0.5, column.levels.length - 0.5];
    const marked = column.levels ? column.levels.map((text, index) => [index, text])
      : (column.marked || []).map((value) => [column.log ? Math.log10(value) : value, brief(value)]);
    const ticks = marked.length ? marked : seen.length ? numberTicks(low, high, column.log, score ? tickOfScore : brief) : [];
    const spread = marked.length ? this.spread(at, marked) : null;
    if (marked.length && !column.levels && spread) [low, high] = [low - spread.half, high + spread.half];
    return { column, at, low, high, ticks, spread, missing: column.values };
  }

  spread(at, marked) {
    const places = marked.map(([place]) => place).sort((a, b) => a - b);
    const gaps = places.slice(1).map((place, index) => place - places[index]);
    const half = 0.36 * (gaps.length ? Math.min(...gaps) : 1);
    const scores = this.trials.byName.get("score").values;
    const scored = [...at.keys()].filter((row) => scores[row] !== null);
    const rows = grouped(scored, (row) => at[row]);
    const most = Math.max(...[...rows.values()].map((each) => each.length), 1);
    const offset = new Float64Array(at.length);
    // Rows are best first.
    for (const each of rows.values()) {
      each.forEach((row, index) => { offset[row] = ((each.length - 1) / 2 - index) / most * 2 * half; });
    }
    return { half, offset };
  }

  get hasGaps() {
    return this.axes.some(({ column }) => column.gaps);
  }

  y(axis, place) {
    const floor = PARALLEL.height - PARALLEL.bottom - (this.hasGaps ? PARALLEL.gap : 0);
    const share = (place - axis.low) / ((axis.high - axis.low) || 1);
    return floor - Math.min(1, Math.max(0, share)) * (floor - PARALLEL.top);
  }

  place(y, axis) {
    const floor = this.y(axis, axis.low);
    return axis.low + ((floor - y) / (floor - PARALLEL.top)) * (axis.high - axis.low);
  }

  yOf(axis, row) {
    if (axis.missing[row] === null) {
      const middle = PARALLEL.height - PARALLEL.bottom - 4;
      return axis.spread ? middle - (axis.spread.offset[row] / axis.spread.half) * 9 : middle;
    }
    return this.y(axis, axis.at[row] + (axis.spread ? axis.spread.offset[row] : 0));
  }

  x(slot) {
    const last = Math.max(1, this.axes.length - 1);
    return PARALLEL.side + (slot / last) * (this.width - 2 * PARALLEL.side);
  }

  /** Paint before the next frame, once for many changes; not before it came into view. */
  paintSoon() {
    if (!this.width || this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.paint();
    });
  }

  paint() {
    this.width = this.node.clientWidth;
    this.node.style.height = `${PARALLEL.height}px`;
    this.paintLines();
    this.paintAxes();
    this.paintLabels();
  }

  paintLines() {
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: this.width * ratio, height: PARALLEL.height * ratio });
    Object.assign(this.canvas.style, { width: `${this.width}px`, height: `${PARALLEL.height}px` });
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const scores = this.trials.byName.get("score").values;
    const rows = [];
    for (let row = this.trials.size - 1; row >= 0; row -= 1) if (scores[row] !== null) rows.push(row);
    const kept = rows.filter((row) => this.trials.inRanges(row) && this.trials.hasWords(row));
    const colours = payload.themes[theme].colours;
    if (kept.length < rows.length) {
      Object.assign(pen, { strokeStyle: colours["@ghost"], lineWidth: 1, globalAlpha: Math.min(0.35, 60 / rows.length) });
      for (const row of rows) this.line(pen, row);
    }
    Object.assign(pen, { lineWidth: 1.1, globalAlpha: Math.max(0.1, Math.min(0.85, 90 / (kept.length || 1))) });
    for (const row of kept) {
      pen.strokeStyle = colours[`@line${Math.round(10 * this.trials.goodness(row))}`];
      this.line(pen, row);
    }
    const best = kept[kept.length - 1];
    if (best !== undefined) this.emphasize(pen, best, colours["@text"], 1.6);
    const chosen = this.trials.rowOf.get(this.view.table.chosen);
    if (chosen !== undefined) this.emphasize(pen, chosen, colours["@accent"], 2.5);
  }

  emphasize(pen, row, colour, width) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width, globalAlpha: 1 });
    this.line(pen, row);
  }

  line(pen, row) {
    pen.beginPath();
    this.axes.forEach((axis, slot) => pen.lineTo(this.x(slot), this.yOf(axis, row)));
    pen.stroke();
  }

  paintAxes() {
    const svg = (tag, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      if (text !== undefined) node.textContent = text;
      return node;
    };
    this.overlay.setAttribute("width", this.width);
    this.overlay.setAttribute("height", PARALLEL.height);
    const parts = [];
    const room = (wide) => Math.max(4, Math.floor((wide - 18) / 6.6)) || 12;
    this.axes.forEach((axis, slot) => {
      const x = this.x(slot);
      const [top, floor] = [this.y(axis, axis.high), this.y(axis, axis.low)];
      parts.push(svg("line", { class: "axis-line", x1: x, x2: x, y1: top, y2: floor }));
      const last = slot === this.axes.length - 1;
      // The ticks of the last axis stand on its left.
      const free = this.x(1) - this.x(0) - (slot === this.axes.length - 2 ? 40 : 0);
      let above = Infinity;
      for (const [place, text] of [...axis.ticks].sort((a, b) => a[0] - b[0])) {
        const y = this.y(axis, place);
        if (above - y < 13) continue;
        above = y;
        const short = shortened(text, room(free));
        const node = svg("text", { class: "axis-tick", x: last ? x - 6 : x + 6, y: y + 4, "text-anchor": last ? "end" : "start" }, short);
        if (short !== text) node.append(svg("title", {}, text));
        parts.push(node);
      }
      if (axis.column.gaps) {
        const y = PARALLEL.height - PARALLEL.bottom - 4;
        parts.push(svg("text", { class: "axis-tick", x: x + 6, y: y + 4 }, "inactive"));
      }
      parts.push(...this.brushParts(svg, axis, slot, x, top, floor));
    });
    this.overlay.replaceChildren(...parts);
  }

  brushParts(svg, axis, index, x, top, floor) {
    const parts = [];
    for (const [low, high] of this.trials.filters[index] || []) {
      const [from, to] = [this.y(axis, Math.max(low, axis.low)), this.y(axis, Math.min(high, axis.high))];
      if (high < axis.low || low > axis.high) continue;
      parts.push(svg("rect", { class: "axis-range", x: x - 7, width: 14, y: Math.min(from, to), height: Math.max(3, Math.abs(from - to)) }));
    }
    const zone = svg("rect", { class: "axis-zone", "data-axis": axis.column.label, x: x - PARALLEL.zone / 2, width: PARALLEL.zone, y: top - 8, height: floor - top + 16 });
    zone.addEventListener("pointerdown", (event) => this.brush(event, axis, index, svg, x));
    return [...parts, zone];
  }

  brush(event, axis, index, svg, x) {
    if (event.pointerType === "touch") return;
    event.preventDefault();
    const box = this.overlay.getBoundingClientRect();
    const start = event.clientY - box.top;
    const mark = svg("rect", { class: "axis-range", x: x - 7, width: 14, y: start, height: 0 });
    this.overlay.append(mark);
    const move = (at) => {
      const now = at.clientY - box.top;
      mark.setAttribute("y", Math.min(start, now));
      mark.setAttribute("height", Math.abs(now - start));
    };
    const end = (at) => {
      window.removeEventListener("pointermove", move);
      const now = at.clientY - box.top;
      if (Math.abs(now - start) < 4) {
        this.view.filters.set(index, null, true);
        return;
      }
      const [low, high] = [this.place(start, axis), this.place(now, axis)].sort((a, b) => a - b);
      // At the end of an axis lie the trials beyond it, too.
      const open = [low <= axis.low ? -1e300 : low, high >= axis.high ? 1e300 : high];
      this.view.filters.set(index, [axis.spread ? this.whole(axis, [low, high]) : open], true);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end, { once: true });
  }

  /** A range that holds whole bands of an axis of few values. */
  whole(axis, [low, high]) {
    const { half } = axis.spread;
    const touched = axis.ticks.map(([place]) => place).filter((place) => place + half >= low && place - half <= high);
    return touched.length ? [Math.min(...touched) - half / 2, Math.max(...touched) + half / 2] : [low, high];
  }

  paintLabels() {
    const wide = this.axes.length > 1 ? this.x(1) - this.x(0) : this.width;
    this.labels.replaceChildren(...this.axes.map(({ column: { label } }, slot) => {
      const style = `left:${this.x(slot) - wide / 2}px;width:${wide - 6}px`;
      return el("div", { className: "axis-label", title: label, style }, breakable(label));
    }));
  }

}

function parallelSection(view) {
  const { sweep, filters, trials } = view;
  if (!sweep.scored || trials.dimensions.length < 2) return null;
  view.parallel = new Parallel(view);
  view.parallel.node.setAttribute("role", "group");
  view.parallel.node.setAttribute("aria-label", "Parallel coordinates: each trial is a line through its hyperparameters to its score. The filters below do the same as dragging along an axis.");
  const form = el("details", {}, el("summary", {}, "Filter by value"), filters.form);
  return card("parallel", "Parallel coordinates", [sweep.notes.parallel, hint("Drag along an axis to keep a range, which the table follows; click it to remove it.")], filters.clear,
    el("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": "Lines of the trials" }, view.parallel.node), form);
}

// Filters of the table, set by brushes in the parallel coordinates or in the form below them.

class Filters {
  constructor(trials, onChange) {
    this.trials = trials;
    this.onChange = onChange;
    this.form = el("div", { className: "filters" });
    this.clear = el("button", { type: "button", onclick: () => this.reset() }, "Clear all filters");
    this.drawForm();
  }

  drawForm() {
    this.form.replaceChildren(...this.trials.dimensions.map((column, index) => this.field(column, index)));
    this.showClear();
  }

  /** The button is there only while there is something to clear. */
  showClear() {
    this.clear.hidden = !this.trials.filtered;
  }

  field(column, index) {
    const choices = this.choices(column);
    const body = choices ? this.boxes(choices, index) : this.ends(column, index);
    return el("fieldset", {}, el("legend", {}, column.label), body);
  }

  /** Position and text of each value; null if there are too many. */
  choices(column) {
    const list = column.levels ? column.levels.map((text, at) => [at, text])
      : (column.marked || []).map((value) => [column.log ? Math.log10(value) : value, brief(value)]);
    if (!list.length) return null;
    return column.gaps ? [...list, [column.gap_position, "inactive"]] : list;
  }

  boxes(choices, index) {
    const ranges = this.trials.filters[index];
    const inside = (at) => !ranges || ranges.some(([low, high]) => at >= low && at <= high);
    const boxes = choices.map(([at, text]) => {
      const box = el("input", { type: "checkbox" });
      box.checked = inside(at);
      return [box, at, text];
    });
    const gap = Math.min(...choices.flatMap(([a], i) => choices.slice(i + 1).map(([b]) => Math.abs(a - b))), 1);
    const apply = () => {
      const on = boxes.filter(([box]) => box.checked);
      const all = on.length === boxes.length;
      this.set(index, all ? null : on.map(([, at]) => [at - gap * 0.3, at + gap * 0.3]));
    };
    return el("div", { className: "options" }, boxes.map(([box, , text]) => {
      box.addEventListener("change", apply);
      return el("label", {}, box, text);
    }));
  }

  ends(column, index) {
    const ranges = this.trials.filters[index];
    const out = (at) => (column.log ? 10 ** at : at);
    const into = (text) => (text === "" ? null : column.log ? Math.log10(Number(text)) : Number(text));
    const shown = column.score ? score : brief;
    const low = el("input", { type: "number", step: "any", "aria-label": `${column.label}: least`, placeholder: shown(column.low) });
    const high = el("input", { type: "number", step: "any", "aria-label": `${column.label}: most`, placeholder: shown(column.high) });
    if (ranges && ranges.length) {
      const [least, most] = [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))];
      if (Number.isFinite(least) && least > -1e290) low.value = Number(out(least).toPrecision(4));
      if (Number.isFinite(most) && most < 1e290) high.value = Number(out(most).toPrecision(4));
    }
    const apply = () => {
      const [least, most] = [into(low.value), into(high.value)];
      if (least === null && most === null) this.set(index, null);
      else this.set(index, [[least ?? -1e300, most ?? 1e300]]);
    };
    low.addEventListener("change", apply);
    high.addEventListener("change", apply);
    return el("div", { className: "controls" }, low, "to", high);
  }

  /** Keep rows whose positions lie in `ranges`; `brushed` if the form does not show them yet. */
  set(index, ranges, brushed) {
    this.trials.filters[index] = ranges;
    if (brushed) this.drawForm();
    else this.showClear();
    this.onChange();
  }

  reset() {
    this.trials.filters = this.trials.dimensions.map(() => null);
    this.drawForm();
    this.onChange();
  }
}
