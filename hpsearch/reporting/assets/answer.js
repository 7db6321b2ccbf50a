// The first screen: the answer in a sentence, the best config, what decided, and what to try next.

// The panel of a longer config stands beside the others, which stand on each other.
const MOST_BESIDE = 9;
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

function answerSection(view) {
  const { answer, importance, facts } = view.sweep;
  const head = el("header", { className: "answer" },
    el(payload.sweeps.length > 1 ? "h2" : "h1", { className: "name" }, view.sweep.name, view.sweep.description && el("span", {}, ` · ${view.sweep.description}`)),
    el("p", { className: "headline" }, answer.headline),
    el("p", { className: "note" }, answer.remark));
  if (!answer.values.length) return el("section", { className: "first" }, head);
  const weak = !importance.reason && importance.explained < 0.3;
  return el("section", { className: "first", id: "answer", "aria-label": "Answer" }, head,
    el("div", { className: `panels${answer.values.length > MOST_BESIDE ? " tall" : ""}` },
      panel("The best config", configTable(answer.values), copyConfig(() => answer.values.map(([name, , value]) => [name, value]))),
      answer.shares.length > 0 && panel("What mattered most",
        el("p", { className: "note" }, "Shares of the variance; black lines are their 90% intervals."),
        el("ol", { className: "mattered" }, answer.shares.map(mattered)),
        weak && el("p", { className: "note warn" }, `A hint at most: the model behind it explains ${percent(Math.max(0, importance.explained))} of the variance of scores that it has not seen.`)),
      answer.advice.length > 0 && panel("What to try next", el("ul", { className: "advice" }, answer.advice.map((line) => el("li", {}, withCode(line)))))),
    el("p", { className: "note facts" }, view.sweep.tiles.join(" · "),
      importance.reason && `. What mattered is not known: ${importance.reason}.`));
}

function panel(title, ...content) {
  return el("div", { className: "panel" }, el("h2", {}, title), content);
}

/** A text whose parts between backticks are code. */
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

function configTable(values) {
  return el("table", { className: "config" }, el("tbody", {}, values.map(([name, text]) =>
    el("tr", {}, el("th", { scope: "row" }, breakable(name)), el("td", {}, breakable(text))))));
}

function mattered([name, share, low, high, best]) {
  return el("li", {}, el("div", { className: "named" }, el("strong", {}, name), el("span", {}, percent(share))),
    bar(share, low, high, "one"), el("span", { className: "note" }, `${percent(low)} to ${percent(high)}; `,
      best ? ["best on average: ", breakable(best)] : "no value is clearly better"));
}

/** A bar of a share, and its interval as a line, both of `most`. */
function bar(share, low, high, kind, most = 1) {
  const width = (value) => `${(100 * Math.min(1, value / most)).toFixed(2)}%`;
  return el("div", { className: `bar-line ${kind}`, "aria-hidden": "true" },
    el("span", { className: "fill", style: `width:${width(share)}` }),
    el("span", { className: "whisker", style: `left:${width(low)};width:${width(Math.max(0, high - low))}` }));
}

/** Every share as a bar; the numbers stand beside the bars. */
function importanceSection(view) {
  const { answer, importance, notes } = view.sweep;
  if (importance.reason) return null;
  const shown = importance.shares.filter(([names, share]) => names.length === 1 || share >= 0.005).slice(0, 16);
  const most = Math.max(...shown.map(([, , , high]) => high), 0.01);
  const rows = shown.map(([names, share, low, high]) => el("tr", {},
    el("th", { scope: "row" }, breakable(names.join(" × "))),
    el("td", { className: "bar-cell" }, bar(share, low, high, names.length > 1 ? "two" : "one", most)),
    el("td", {}, percent(share)), el("td", { className: "interval" }, `${percent(low)} to ${percent(high)}`)));
  return card("importance", "Importance", notes.importance, null,
    el("table", { className: "shares" },
      el("thead", {}, el("tr", {}, ["hyperparameter", "", "share", "90% interval"].map((text) => (text ? el("th", { scope: "col" }, text) : el("td"))))),
      el("tbody", {}, rows)),
    answer.paragraph && [
      el("p", { className: "note" }, "In words, to copy:"),
      el("blockquote", {}, answer.paragraph),
      el("div", { className: "controls" }, copyButton("Copy the paragraph", () => answer.paragraph))]);
}

// A config as text to copy: YAML for a sweep file.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_-]*$/;
// Characters that YAML reads otherwise than JSON does, or not at all.
const ODD = /[\x7f-\x9f\ufeff]/g;
const READ_OTHERWISE = /^(true|false|null|yes|no|on|off|y|n|inf|nan)$/i;

/** A name or a text in YAML; JSON's strings are YAML's, too. */
function yamlText(text) {
  if (PLAIN.test(text) && !READ_OTHERWISE.test(text)) return text;
  return JSON.stringify(text).replace(ODD, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function yamlValue(value) {
  if (Array.isArray(value)) return `[${value.map(yamlValue).join(", ")}]`;
  if (value === null) return "null";
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, each]) => `${yamlText(key)}: ${yamlValue(each)}`).join(", ")}}`;
  }
  return typeof value === "string" ? yamlText(value) : String(value);
}

/** Pairs of hyperparameter and value as `parameters`, each with one value. */
function asYaml(pairs) {
  // A list would be choices, and a mapping a range; one of them in a list is a fixed one.
  const listed = (value) => (value !== null && typeof value === "object" ? [value] : value);
  const lines = pairs.map(([name, value]) => `  ${yamlText(name)}: ${yamlValue(listed(value))}\n`);
  return `parameters:\n${lines.join("")}`;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers without access to the clipboard copy what is selected.
    const area = el("textarea", { "aria-hidden": "true", className: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** A button that copies what `text` returns. */
function copyButton(label, text) {
  const node = el("button", { type: "button", className: "copy", onclick: async () => {
    await copyText(text());
    node.textContent = "Copied";
    setTimeout(() => { node.textContent = label; }, 1500);
  } }, label);
  return node;
}

/** A button that copies a config; `pairs` is called when it is used. */
function copyConfig(pairs) {
  return el("div", { className: "controls" }, copyButton("Copy as YAML", () => asYaml(pairs())));
}
