// One sweep's trials: cells, positions on axes, filters.

class Trials {
  constructor(sweep) {
    this.sweep = sweep;
    this.columns = sweep.columns;
    this.size = sweep.columns[0].values.length;
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    // The score is the last axis.
    const axes = this.columns.filter((column) => column.axis && column.name !== "score");
    this.dimensions = [...axes, this.byName.get("score")];
    this.rowOf = new Map(this.columns[0].values.map((trial, row) => [trial, row]));
    this.scored = this.byName.get("score").values.filter((score) => score !== null).length;
    this.filters = this.dimensions.map(() => null);
    this.status = "scored";
    this.words = [];
    this.lines = [];
  }

  /** The text of a cell. */
  text(column, row) {
    const value = column.values[row];
    if (value === null || value === undefined) return "-";
    if (column.levels) return column.levels[value];
    if (column.name === "seconds") return seconds(value);
    return column.score ? score(value) : column.name === "weights" ? count(value) : brief(value);
  }

  /** The position of a row on an axis; the same as `PlotAxis.positions` of source.py. */
  position(column, row) {
    const value = column.values[row];
    if (value === null) return column.name === "score" ? null : column.gap_position;
    return column.log ? Math.log10(value) : value;
  }

  /** The place of a row, which are ranked, on the page's colour scale: 0 is worst, 1 is best. */
  goodness(row) {
    return 1 - row / Math.max(1, this.scored - 1);
  }

  /** Whether a row is inside all brushed ranges. */
  inRanges(row) {
    return this.dimensions.every((column, index) => {
      const ranges = this.filters[index];
      if (!ranges) return true;
      const at = this.position(column, row);
      if (at === null) return false;
      return ranges.some(([low, high]) => at >= low - 1e-9 && at <= high + 1e-9);
    });
  }

  /** Whether each word that was typed occurs in a row, as in `relu adam`. */
  hasWords(row) {
    if (!this.words.length) return true;
    if (!this.lines[row]) {
      const cells = this.columns.map((column) => (column.levels ? `${column.label}=` : "") + this.text(column, row));
      this.lines[row] = cells.join(" ").toLowerCase();
    }
    return this.words.every((word) => this.lines[row].includes(word));
  }

  matches(row) {
    const scored = this.byName.get("score").values[row] !== null;
    if (this.status !== "all" && scored !== (this.status === "scored")) return false;
    return this.inRanges(row) && this.hasWords(row);
  }

  /** Rows that match, in the ranking's order. */
  matching() {
    const rows = [];
    for (let row = 0; row < this.size; row += 1) if (this.matches(row)) rows.push(row);
    return rows;
  }

  get filtered() {
    return this.filters.some((ranges) => ranges !== null);
  }

  /** The hyperparameters of a trial with their values, as to copy them. */
  config(row) {
    const { answer, constants } = this.sweep;
    // The best trial's have all their digits.
    if (row === 0 && answer.values.length) return answer.values.map(([name, , value]) => [name, value]);
    const varying = this.columns.filter((column) => column.hyperparameter && column.values[row] !== null)
      .map((column) => [column.hyperparameter, column.raw ? column.raw[column.values[row]] : column.values[row]]);
    return [...varying, ...constants.filter(([, text]) => text !== "-").map(([name, , value]) => [name, value])];
  }

  /** The hover text of a trial, for Plotly. */
  hoverText(trial) {
    const row = this.rowOf.get(trial);
    if (row === undefined) return `<b>trial ${trial}</b>`;
    const value = this.byName.get("score").values[row];
    const status = this.text(this.byName.get("status"), row);
    const lines = [`<b>trial ${trial}: ${value === null ? inert(status) : score(value)}</b>`];
    for (const column of this.columns) {
      if (column.hyperparameter) lines.push(`${inert(column.label)}: ${inert(this.text(column, row))}`);
    }
    return lines.join("<br>");
  }
}
