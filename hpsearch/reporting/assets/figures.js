// Figures: themes, hover texts, and drawing when a figure comes into view.

const COLOURED = new Set(["color", "fillcolor", "bgcolor"]);
const drawn = new Map();
let theme = "light";
let printing = false;

/** A figure with colours in place of their names. */
function themed(spec, colours) {
  return JSON.parse(JSON.stringify(spec), (key, value) => (COLOURED.has(key) && value in colours ? colours[value] : value));
}

function withHover(trace, trials) {
  const meta = trace.meta || {};
  if (meta.trials) {
    return { ...trace, hovertext: meta.trials.map((trial) => trials.hoverText(trial)), hoverinfo: "text" };
  }
  if (meta.trial !== undefined) {
    return { ...trace, hovertext: trials.hoverText(meta.trial), hoverinfo: "text" };
  }
  return trace;
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) render(entry.target);
  },
  { rootMargin: "300px" },
);

/** Show a figure in a node as soon as the node is near the view. */
function show(node, spec, options) {
  drawn.set(node, { ...drawn.get(node), ...options, spec, ready: false });
  node.style.height = `${spec.layout.height || 380}px`;
  observer.unobserve(node);
  observer.observe(node);
}

function render(node) {
  const entry = drawn.get(node);
  if (!entry || entry.ready) return;
  entry.ready = true;
  if (entry.paint) {
    entry.paint();
    node.dataset.drawn = "yes";
    return;
  }
  const look = payload.themes[theme];
  const spec = themed(entry.spec, look.colours);
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const data = spec.data.map((trace) => (entry.trials ? withHover(trace, entry.trials) : trace));
  const layout = {
    ...spec.layout,
    template: { layout: look.template },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    autosize: true,
    ...(printing ? { width: node.clientWidth, height: node.clientHeight, autosize: false } : {}),
    // On a touch screen, dragging scrolls the page instead of zooming.
    dragmode: coarse ? false : "zoom",
  };
  const config = {
    responsive: true,
    displaylogo: false,
    // An explicit list, because the default ones can send the figure to a server.
    modeBarButtons: [spec.layout.xaxis ? ["toImage", "zoom2d", "pan2d", "resetScale2d"] : ["toImage"]],
    displayModeBar: coarse ? false : "hover",
    toImageButtonOptions: { format: "svg", filename: entry.name || "figure" },
  };
  const done = Plotly.react(node, data, layout, config);
  done.then(() => {
    node.dataset.drawn = "yes";
    if (!entry.wired && entry.wire) entry.wire(node);
    entry.wired = true;
  });
}

function redraw() {
  for (const [node, entry] of drawn) {
    if (!node.isConnected) {
      drawn.delete(node);
    } else if (entry.ready) {
      entry.ready = false;
      render(node);
    }
  }
}

/** On paper every figure is there, light, and as wide as the page. */
function startPrinting() {
  let before = theme;
  window.addEventListener("beforeprint", () => {
    before = theme;
    printing = true;
    const table = document.getElementById("trials");
    const fits = () => !table || table.scrollWidth <= table.parentElement.clientWidth;
    // The table is small only if it would be cut.
    for (const look of ["yes", "tight"]) {
      document.documentElement.dataset.print = look;
      if (fits()) break;
    }
    for (const entry of drawn.values()) entry.ready = true;
    setTheme("light");
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    delete document.documentElement.dataset.print;
    setTheme(before);
  });
}

function setTheme(name) {
  theme = name;
  document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  button.textContent = name === "dark" ? "☀ Light" : "☾ Dark";
  button.setAttribute("aria-label", `Use the ${name === "dark" ? "light" : "dark"} theme`);
  redraw();
}

/** Create the node of a figure; screen readers read `label`. */
function plot(label) {
  return el("div", { className: "plot", role: "figure", "aria-label": label });
}
