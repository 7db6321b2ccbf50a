// The page: the chosen sweep and the theme.

const payload = JSON.parse(document.getElementById("payload").textContent);

const SHORT = { answer: "Answer", best: "Trials", curves: "Curves", parallel: "Parallel", effects: "Effects", scores: "Scores" };

/** The view of the sweep that is shown. */
let opened = null;

function forgetFigures() {
  for (const [node, entry] of drawn) {
    if (node.closest("#comparison")) continue;
    observer.unobserve(node);
    if (entry.ready && !entry.paint) Plotly.purge(node);
    drawn.delete(node);
  }
}

function openSweep(index, focus) {
  forgetFigures();
  const sweep = payload.sweeps[index];
  const view = { sweep, trials: new Trials(sweep) };
  view.changed = () => {
    view.table.restart();
    if (view.parallel) view.parallel.paintSoon();
  };
  view.chose = (trial) => {
    markCurve(view, trial);
    if (view.parallel) view.parallel.paintSoon();
  };
  view.table = new TrialTable(view);
  opened = view;
  view.filters = new Filters(view.trials, view.changed);
  view.clickable = (node) => node.on("plotly_click", ({ points }) => {
    const { trials, trial = trials && trials[points[0].pointIndex] } = points[0].data.meta || {};
    if (trial !== undefined) view.table.choose(trial, false);
  });
  const sections = [
    payload.sweeps.length > 1 && overviewSection(), answerSection(view), importanceSection(view), effectsSection(view),
    bestSection(view), parallelSection(view), progressSection(view),
    scoresSection(view), curvesSection(view), predictionsSection(view), failuresSection(view), evaluationsSection(view), provenanceSection(view),
  ].filter(Boolean);
  const node = document.getElementById("view");
  node.replaceChildren(...sections);
  linkSections();
  document.getElementById("sweep").value = String(index);
  if (focus) node.focus();
}

function linkSections() {
  document.getElementById("nav").replaceChildren(...[...document.querySelectorAll("section[id]")].map((section) =>
    el("a", { href: `#${section.id}` }, SHORT[section.id] || section.querySelector("h2").textContent)));
}

/** Emphasize the curve of the chosen trial. */
function markCurve(view, trial) {
  if (!view.curves) return;
  const spec = view.sweep.figures.curves[view.metric];
  const data = spec.data.map((trace) => (trial !== null && trace.meta.trial === trial
    ? { ...trace, line: { color: "@accent", width: 4 }, opacity: 1 } : trace));
  show(view.curves, { ...spec, data });
}

/** The theme that the reader chose; null follows the system. */
let chosenTheme = null;

function chooseTheme(name) {
  chosenTheme = name;
  setTheme(name);
}

function startTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => chosenTheme || setTheme(dark.matches ? "dark" : "light");
  follow();
  dark.addEventListener("change", follow);
  document.getElementById("theme").addEventListener("click", () => chooseTheme(theme === "dark" ? "light" : "dark"));
}

function start() {
  const select = document.getElementById("sweep");
  select.replaceChildren(...payload.sweeps.map((sweep, index) => el("option", { value: index }, sweep.name)));
  select.addEventListener("change", () => openSweep(Number(select.value), false));
  document.getElementById("chooser").hidden = payload.sweeps.length < 2;
  document.getElementById("footer").textContent = payload.footer;
  startTheme();
  startPrinting();
  document.querySelectorAll("#comparison .plot").forEach((node, index) =>
    show(node, payload.comparison[index], { name: `comparison-${index + 1}` }));
  linkSections();
  if (payload.sweeps.length) openSweep(0, false);
  startLive();
  document.documentElement.dataset.ready = "yes";
}

start();
