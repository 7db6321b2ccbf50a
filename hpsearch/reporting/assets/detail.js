// A trial that is open in the table: its config, executions and learning curves.

function detailOf(view, row) {
  const { trials } = view;
  const trial = trials.columns[0].values[row];
  const told = trials.columns.slice(1).filter((column) => column.values[row] !== null);
  const text = (column) => [column.label, trials.text(column, row)];
  const rest = trials.sweep.constants.filter(([, value]) => value !== "-").map(([name, value]) => [name, value]);
  const config = [...told.filter((column) => column.hyperparameter).map(text), ...rest];
  const other = told.filter((column) => !column.hyperparameter && column.name !== "score" && column.name !== "status").map(text);
  return el("div", { className: "detail", tabindex: "-1" },
    el("header", {}, el("h3", {}, `Trial ${trial}`), copyButtons(() => trials.config(row))),
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
