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

/** Buttons that copy a config; `pairs` is called when one is used. */
function copyButtons(pairs) {
  const button = (label, text) => {
    const node = el("button", { type: "button", className: "copy", onclick: async () => {
      await copyText(text(pairs()));
      node.textContent = "Copied";
      setTimeout(() => { node.textContent = label; }, 1500);
    } }, label);
    return node;
  };
  return el("div", { className: "controls" }, button("Copy as YAML", asYaml));
}
