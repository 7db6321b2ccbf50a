// One sweep's trials: cells, positions on axes, filters.

class Trials {
  constructor(sweep) {
    this.sweep = sweep;
    this.columns = sweep.columns;
    this.size = sweep.columns[0].values.length;
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    // The score is the last axis, as in the figure.
    const axes = this.columns.filter((column) => column.axis && column.name !== "score");
    this.dimensions = [...axes, this.byName.get("score")];
    this.rowOf = new Map(this.columns[0].values.map((trial, row) => [trial, row]));
    this.filters = this.dimensions.map(() => null);
    this.status = "scored";
  }

  /** The text of a cell. */
  text(column, row) {
    const value = column.values[row];
    if (value === null) return "-";
    if (column.levels) return column.levels[value];
    return column.name === "score" ? score(value) : brief(value);
  }

  /** The position of a row on an axis; the same as `PlotAxis.positions` of source.py. */
  position(column, row) {
    const value = column.values[row];
    if (value === null) return column.name === "score" ? null : column.gap_position;
    return column.log ? Math.log10(value) : value;
  }

  matches(row) {
    if (this.status === "scored" && this.byName.get("score").values[row] === null) return false;
    if (this.status === "unscored" && this.byName.get("score").values[row] !== null) return false;
    return this.dimensions.every((column, index) => {
      const ranges = this.filters[index];
      if (!ranges) return true;
      const at = this.position(column, row);
      if (at === null) return false;
      return ranges.some(([low, high]) => at >= low - 1e-9 && at <= high + 1e-9);
    });
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

  /** The hover text of a trial, for Plotly. */
  hoverText(trial) {
    const row = this.rowOf.get(trial);
    if (row === undefined) return `<b>trial ${trial}</b>`;
    const value = this.byName.get("score").values[row];
    const status = this.text(this.byName.get("status"), row);
    const lines = [`<b>trial ${trial}: ${value === null ? inert(status) : score(value)}</b>`];
    for (const column of this.columns) {
      if (column.hyperparameter || column.name === "seed") {
        lines.push(`${inert(column.label)}: ${inert(this.text(column, row))}`);
      }
    }
    return lines.join("<br>");
  }
}
