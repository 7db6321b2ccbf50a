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
