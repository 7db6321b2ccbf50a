// The sections of one sweep, in the order of the page.

function card(id, title, note, controls, ...content) {
  return el("section", { className: "card", id, "aria-labelledby": `${id}-title` },
    el("header", {}, el("h2", { id: `${id}-title` }, title), controls && el("div", { className: "controls" }, controls)),
    note && el("p", { className: "note" }, note), content);
}

/** What the pointer can do, which is not printed. */
function hint(text) {
  return el("span", { className: "hint" }, ` ${text}`);
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

function bestSection(view) {
  if (!view.sweep.total) return null;
  return card("best", "Trials", [view.sweep.scored > 1 && "Best first, one line a config.", hint("Choose a line to open it.")], view.table.controls(), view.table.node);
}

function progressSection(view) {
  if (view.sweep.scored < 2) return null;
  const node = plot(`Scores of ${count(view.sweep.scored)} trials in their order.`);
  show(node, view.sweep.figures.progress, { trials: view.trials, name: "progress", wire: view.clickable });
  return card("progress", "Progress", [view.sweep.notes.progress, hint("Choose a point to see its trial.")], null, node);
}

function scoresSection(view) {
  const { distribution } = view.sweep.figures;
  if (!distribution) return null;
  const node = plot("The share of trials with at most each score.");
  show(node, distribution, { name: "distribution" });
  return card("scores", "Distribution of scores", view.sweep.notes.distribution, null, node);
}

function curvesSection(view) {
  const { curves } = view.sweep.figures;
  const names = Object.keys(curves);
  if (!view.sweep.scored || !names.length) return null;
  const node = plot("Learning curves, one line for each trial, coloured by rank.");
  view.drawCurves = (name) => {
    metric.value = name;
    view.metric = name;
    show(node, curves[name], { trials: view.trials, name: `curves-${name}`, wire: (at) => highlight(at, view) });
  };
  const [label, metric] = chooser("Metric", names.map((name) => [name, name]), view.drawCurves);
  view.curves = node;
  view.drawCurves(names[0]);
  return card("curves", "Learning curves", [view.sweep.notes.curves, hint("Point at a line to see its config.")], label, node);
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

function effectsSection(view) {
  const effects = Object.entries(view.sweep.figures.effects);
  if (!effects.length) return null;
  const nodes = effects.map(([name, spec]) => {
    const node = plot(`Scores by ${name}, and their mean with its interval.`);
    show(node, spec, { trials: view.trials, name: `effect-${name}`, wire: view.clickable });
    return node;
  });
  return card("effects", "Effects", view.sweep.notes.effects, null, el("div", { className: "effects" }, nodes));
}

function failuresSection(view) {
  const { failures } = view.sweep;
  if (!failures.length) return null;
  const rows = failures.map(([status, reason, many, trials]) => [
    el("span", { className: "bad" }, status), count(many), reason || "no reason is known", trials]);
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

/** Confusion matrices, and predictions against truth. */
function predictionsSection(view) {
  const { predictions, notes } = view.sweep;
  if (!predictions.length) return null;
  return card("predictions", "Predictions", notes.predictions, null, predictions.map((each) => {
    if (!each.figure) return [el("h3", {}, each.title), confusionTable(each)];
    const node = plot(`Predicted against true targets, ${each.title}.`);
    show(node, each.figure, { name: "predictions" });
    return [el("h3", {}, each.title), node];
  }));
}

function confusionTable({ classes, confusion, title }) {
  const total = confusion.flat().reduce((sum, value) => sum + value, 0);
  const rows = confusion.map((counts, truth) => {
    const all = counts.reduce((sum, value) => sum + value, 0);
    const cells = counts.map((value, guess) => {
      const share = all ? value / all : 0;
      // Blue is worse, here as elsewhere. A few errors show, and text stays readable on a cell that is at most half coloured.
      const [colour, depth] = truth === guess ? ["--second", share] : ["--accent", Math.sqrt(share)];
      const style = `background:color-mix(in srgb, var(${colour}) ${(45 * depth).toFixed(1)}%, transparent)`;
      return el("td", { style, title: `${classes[truth]} predicted as ${classes[guess]}: ${count(value)} of ${count(all)}` }, value ? count(value) : "");
    });
    return el("tr", {}, el("th", { scope: "row" }, classes[truth]), cells, el("td", { className: "spread" }, `${count(all)} (${percent(total ? all / total : 0)})`));
  });
  const head = ["true, predicted as", ...classes, "rows"].map((text) => el("th", { scope: "col" }, text));
  return el("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": `Confusion matrix, ${title}` },
    el("table", { className: "confusion" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

function provenanceSection(view) {
  const { facts, file, notes } = view.sweep;
  return card("provenance", "Provenance", notes.provenance, null, pairsOf(facts),
    file && el("details", {}, el("summary", {}, "The resolved sweep, sweep.yaml"), el("pre", { tabindex: "0" }, file)));
}

function overviewSection() {
  const { figure } = payload.overview;
  const node = figure && plot("The best score so far of each sweep.");
  if (figure) show(node, figure, { name: "overview" });
  const rows = payload.sweeps.map((sweep, index) => [
    el("button", { type: "button", className: "pick", onclick: () => openSweep(index, true) }, sweep.name),
    ...sweep.summary]);
  return card("overview", "Sweeps", payload.overview.note, null,
    listTable(["sweep", "metric", "best", "trial", "trials", "with a score", "training time"], rows,
      ["words", "words", "", "", "", "", ""]), node);
}
