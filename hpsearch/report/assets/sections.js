// The sections of one sweep, in the order of the page.

function card(id, title, note, controls, ...content) {
  return el("section", { className: "card", id, "aria-labelledby": `${id}-title` },
    el("header", {}, el("h2", { id: `${id}-title` }, title), controls && el("div", { className: "controls" }, controls)),
    note && el("p", { className: "note" }, note), content);
}

function chooser(label, options, onChange, value) {
  const select = el("select", { onchange: () => onChange(select.value) },
    options.map(([key, text]) => el("option", { value: key }, text)));
  if (value !== undefined) select.value = value;
  return [el("label", {}, label, " ", select), select];
}

function listTable(head, rows, classes) {
  const cell = (tag) => (text, index) => el(tag, { className: (classes || [])[index] || "words", scope: tag === "th" ? "col" : null }, text);
  return el("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": head.join(", ") },
    el("table", {}, el("thead", {}, el("tr", {}, head.map(cell("th")))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td")))))));
}

function headOf(sweep) {
  return el("div", { className: "head" }, el("h1", {}, sweep.name), sweep.description && el("p", {}, sweep.description));
}

function tilesOf(sweep) {
  return el("dl", { className: "tiles" }, sweep.tiles.map(([label, value, aside], index) =>
    el("div", { className: index ? "tile" : "tile lead" }, el("dt", {}, label),
      el("dd", {}, value, aside && el("div", { className: "aside" }, aside)))));
}

function bestSection(view) {
  const { trials, table } = view;
  const [shown] = chooser("Show", [["scored", "trials with a score"], ["all", "all trials"], ["unscored", "trials without a score"]], (value) => {
    trials.status = value;
    table.page = 0;
    view.changed();
  }, trials.status);
  return card("best", "Best trials", "Best first. Choose a trial to see its whole configuration; the ranges brushed below filter this table.",
    shown, table.node, table.detail);
}

function progressSection(view) {
  if (!view.sweep.scored) return card("progress", "Progress", "No trial has a score yet.");
  const node = plot(`Scores of ${count(view.sweep.scored)} trials in their order, and the best so far.`);
  const draw = (by) => show(node, view.sweep.figures.progress[by], { trials: view.trials, name: "progress", wire: view.clickable });
  const ways = [["trial", "trial"], ["seconds", "training time"]].filter(([by]) => view.sweep.figures.progress[by]);
  const [by] = chooser("Along", ways, draw);
  draw("trial");
  return card("progress", "Progress", view.sweep.notes.progress, by, node);
}

function curvesSection(view) {
  const { curves } = view.sweep.figures;
  const names = Object.keys(curves);
  if (!names.length) return card("curves", "Learning curves", "There are no learning curves.");
  const node = plot("Learning curves, one line for each trial, coloured by rank.");
  const draw = (metric) => {
    view.metric = metric;
    show(node, curves[metric], { trials: view.trials, name: `curves-${metric}`, wire: (at) => highlight(at, view) });
  };
  const [metric] = chooser("Metric", names.map((name) => [name, name]), draw);
  view.curves = node;
  draw(names[0]);
  return card("curves", "Learning curves", view.sweep.notes.curves, metric, node);
}

/** Emphasize the line under the pointer, and choose its trial on a click. */
function highlight(node, view) {
  const widths = (index, width) => Plotly.restyle(node, { "line.width": width, opacity: 1 }, [index]);
  let last = null;
  const rest = () => {
    if (last === null) return;
    const { line, opacity } = drawn.get(node).spec.data[last] || {};
    if (line) Plotly.restyle(node, { "line.width": line.width, opacity }, [last]);
    last = null;
  };
  node.on("plotly_hover", ({ points }) => {
    rest();
    last = points[0].curveNumber;
    widths(last, 4);
  });
  node.on("plotly_unhover", rest);
  node.on("plotly_click", ({ points }) => view.table.choose(points[0].data.meta.trial, false));
}

function parallelSection(view) {
  const { sweep, filters } = view;
  if (!sweep.figures.parallel) return card("parallel", "Parallel coordinates", "No trial has a score yet.");
  const node = plot("Parallel coordinates: each trial is a line through its hyperparameters to its score. The filters below have the same effect as brushing.");
  const axes = sweep.figures.parallel.data[0].dimensions.length;
  if (axes < 2) return card("parallel", "Parallel coordinates", "No hyperparameter varies.");
  const holder = el("div", { className: "scroll", style: `--least:${axes * 92}px` }, node);
  filters.node = node;
  view.drawParallel = () => show(node, filters.brushed(sweep.figures.parallel), {
    name: "parallel", wire: (at) => at.on("plotly_restyle", (change) => filters.fromPlot(change)),
  });
  view.drawParallel();
  const form = el("details", {}, el("summary", {}, "Filter by value"), filters.form);
  return card("parallel", "Parallel coordinates", sweep.notes.parallel, filters.clear, holder, form);
}

function importanceSection(view) {
  const { sweep } = view;
  if (sweep.importance.reason) return card("importance", "Importance", `Not known: ${sweep.importance.reason}.`);
  const node = plot("Share of the score's variance that each hyperparameter and pair explains; the table below has the same numbers.");
  show(node, sweep.figures.shares, { name: "importance" });
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const rows = sweep.importance.shares.map(([names, share, low, high]) => [names.join(" × "), percent(share), `${percent(low)} to ${percent(high)}`]);
  const table = el("details", {}, el("summary", {}, "As a table"), listTable(["hyperparameter", "share", "90% interval"], rows, ["words", "", ""]));
  const weak = sweep.importance.explained < 0.3;
  return card("importance", "Importance", sweep.notes.importance, null,
    weak && el("p", { className: "note warn" }, "The forest explains little of the score, so these shares are at most a hint."), node, table);
}

function effectsSection(view) {
  const effects = Object.entries(view.sweep.figures.effects);
  if (!effects.length) return null;
  const nodes = effects.map(([name, spec]) => {
    const node = plot(`Mean score by ${name}, with its interval.`);
    show(node, spec, { name: `effect-${name}` });
    return node;
  });
  return card("effects", "Marginal effects", view.sweep.notes.effects, null, el("div", { className: "effects" }, nodes));
}

/** The same figure with its axes exchanged. */
function transposed(spec) {
  const data = spec.data.map((trace) => ({
    ...trace, x: trace.y, y: trace.x,
    ...(trace.z ? { z: trace.z[0].map((_, column) => trace.z.map((row) => row[column])) } : {}),
  }));
  return { data, layout: { ...spec.layout, xaxis: spec.layout.yaxis, yaxis: spec.layout.xaxis } };
}

function contourSection(view) {
  const { names, specs } = view.sweep.figures.contours;
  if (names.length < 2) return null;
  const node = plot("The mean score over two hyperparameters.");
  const options = names.map((name, index) => [String(index), name]);
  const draw = () => {
    const [x, y] = [Number(across.value), Number(up.value)];
    const other = x === y ? (y + 1) % names.length : y;
    up.value = String(other);
    const spec = specs[`${x}|${other}`] || transposed(specs[`${other}|${x}`]);
    show(node, spec, { trials: view.trials, name: "contour", wire: view.clickable });
  };
  const [first, across] = chooser("Across", options, draw, view.sweep.figures.contours.first[0]);
  const [second, up] = chooser("Up", options, draw, view.sweep.figures.contours.first[1]);
  draw();
  return card("contour", "Two hyperparameters", view.sweep.notes.contour, [first, second], node);
}

function failuresSection(view) {
  const { failures } = view.sweep;
  if (!failures.length) {
    return card("failures", "Failures", view.sweep.total ? "None: every training has given a score." : "No trial has ended yet.");
  }
  const rows = failures.map(([status, reason, many, trials]) => [
    el("span", { className: "badge bad" }, status), count(many), reason || "no reason is known", trials]);
  return card("failures", "Failures", view.sweep.notes.failures, null,
    listTable(["status", "rows", "reason", "trials"], rows, ["words", "", "long", "long"]));
}

function evaluationsSection(view) {
  const { evaluations, notes } = view.sweep;
  if (!evaluations.length) return null;
  return card("evaluations", "Evaluations", notes.evaluations, null,
    listTable(["time", "trial", "split", "rows", "metric", "value", "95% interval"], evaluations,
      ["words", "", "words", "", "words", "", "words"]));
}

function frontSection(view) {
  const { front } = view.sweep.figures;
  if (!front) return null;
  if (!view.sweep.scored) return card("front", "Pareto front", "No trial has a score yet.");
  const node = plot("Every trial by two objectives, and the Pareto front.");
  show(node, front, { trials: view.trials, name: "front", wire: view.clickable });
  return card("front", "Pareto front", view.sweep.notes.front, null, node);
}

function workSection(view) {
  if (!view.sweep.figures.work) return null;
  if (!view.sweep.total) return card("work", "Shared and saved", "No trial has ended yet.");
  const node = plot("Epochs that were trained, shared, and not needed.");
  show(node, view.sweep.figures.work, { name: "work" });
  return card("work", "Shared and saved", view.sweep.notes.work, null, node, pairsOf(view.sweep.work));
}

function pairsOf(pairs) {
  return el("dl", { className: "pairs" }, pairs.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}

function provenanceSection(view) {
  const { facts, file } = view.sweep;
  return card("provenance", "Provenance", view.sweep.notes.provenance, null, pairsOf(facts),
    file && el("details", {}, el("summary", {}, "The resolved sweep, sweep.yaml"), el("pre", { tabindex: "0" }, file)));
}

function overviewSection() {
  const node = plot("The best score so far of each sweep.");
  show(node, payload.overview.figure, { name: "overview" });
  const rows = payload.sweeps.map((sweep, index) => [
    el("button", { type: "button", className: "pick", onclick: () => openSweep(index, true) }, sweep.name),
    ...sweep.summary]);
  return card("overview", "Sweeps", payload.overview.note, null,
    listTable(["sweep", "metric", "best", "trial", "trials", "with a score", "training time"], rows,
      ["words", "words", "", "", "", "", ""]), node);
}
