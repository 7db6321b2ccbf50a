// Filters of the table, set by brushes in the parallel coordinates or in the form below them.

class Filters {
  constructor(trials, node, onChange) {
    this.trials = trials;
    this.node = node;
    this.onChange = onChange;
    this.form = el("div", { className: "filters" });
    this.clear = el("button", { type: "button", onclick: () => this.reset() }, "Clear all filters");
    this.drawForm();
  }

  drawForm() {
    this.form.replaceChildren(...this.trials.dimensions.map((column, index) => this.field(column, index)));
    this.clear.disabled = !this.trials.filtered;
  }

  field(column, index) {
    const choices = this.choices(column);
    const body = choices ? this.boxes(choices, index) : this.ends(column, index);
    return el("fieldset", {}, el("legend", {}, column.label), body);
  }

  /** Position and text of each value; null if there are too many. */
  choices(column) {
    if (column.levels) {
      const list = column.levels.map((text, at) => [at, text]);
      return column.gaps ? [...list, [column.gap_position, "-"]] : list;
    }
    if (!column.marked || !column.marked.length) return null;
    const list = column.marked.map((value) => [column.log ? Math.log10(value) : value, brief(value)]);
    return column.gaps ? [[column.gap_position, "-"], ...list] : list;
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
    const low = el("input", { type: "number", step: "any", "aria-label": `${column.label}: least`, placeholder: brief(column.low) });
    const high = el("input", { type: "number", step: "any", "aria-label": `${column.label}: most`, placeholder: brief(column.high) });
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

  set(index, ranges) {
    this.trials.filters[index] = ranges;
    this.clear.disabled = !this.trials.filtered;
    this.toPlot();
    this.onChange();
  }

  reset() {
    this.trials.filters = this.trials.dimensions.map(() => null);
    this.toPlot();
    this.drawForm();
    this.onChange();
  }

  /** The dimension of an axis of the figure: the first ones, and the score as the last. */
  column(axis, axes) {
    return axis === axes - 1 ? this.trials.dimensions.length - 1 : axis;
  }

  /** The ranges of a filter, cut to the ends of the figure's axis. */
  brush(index, dimension) {
    const ranges = this.trials.filters[index];
    if (!ranges) return undefined;
    const [least, most] = dimension.range || [-1e300, 1e300];
    const cut = ranges.map(([low, high]) => [Math.max(low, least), Math.min(high, most)]);
    // An empty list would mean no filter, so this range lies outside the axis.
    return cut.length ? cut : [[most + 1, most + 2]];
  }

  brushed(spec) {
    const [trace] = spec.data;
    const dimensions = trace.dimensions.map((dimension, axis) => {
      const range = this.brush(this.column(axis, trace.dimensions.length), dimension);
      return range ? { ...dimension, constraintrange: range } : dimension;
    });
    return { ...spec, data: [{ ...trace, dimensions }] };
  }

  toPlot() {
    if (!this.node || !this.node.data) return;
    const { dimensions } = this.node.data[0];
    // Lets `fromPlot` recognize and ignore this change.
    const change = { meta: "filters" };
    dimensions.forEach((dimension, axis) => {
      const range = this.brush(this.column(axis, dimensions.length), dimension);
      change[`dimensions[${axis}].constraintrange`] = range ? [range] : [null];
    });
    Plotly.restyle(this.node, change, [0]);
  }

  /** Take over brushes from the figure; `change` names the brushed axes. */
  fromPlot([change]) {
    if ("meta" in change) return;
    const { dimensions } = this.node.data[0];
    dimensions.forEach((dimension, axis) => {
      if (!(`dimensions[${axis}].constraintrange` in change)) return;
      const range = dimension.constraintrange;
      const index = this.column(axis, dimensions.length);
      if (!range || !range.length) this.trials.filters[index] = null;
      else this.trials.filters[index] = Array.isArray(range[0]) ? range.map((r) => [...r]) : [[...range]];
    });
    this.drawForm();
    this.onChange();
  }
}
