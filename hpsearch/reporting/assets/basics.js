// HTML elements and number formats.

/** Create an element; children that are strings become text, never markup. */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "className") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function count(value) {
  return Number(value).toLocaleString("en-US");
}

/** Key -> members, in their order. */
function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (groups.has(key)) groups.get(key).push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

const MOST_SPELT = 1e7;

function exponential(value) {
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

function thousands(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** A score or a loss, with the decimals of a larger one beside it; the same as `number` of wording.py. */
function score(value, beside = 0) {
  if (value === null || value === undefined) return "-";
  let size = Math.abs(value);
  if (size === 0) return "0";
  if (Math.abs(beside) < MOST_SPELT) size = Math.max(size, Math.abs(beside));
  if (size < 1e-3 || size >= MOST_SPELT) return exponential(value);
  const text = size >= 999.95 ? thousands(value) : value.toFixed(size >= 99.995 ? 1 : size >= 9.99995 ? 2 : 4);
  // Not zero, and not to be taken for it.
  return Number(text.replaceAll(",", "")) ? text : score(value);
}

/** A hyperparameter; the same as `plain` of wording.py. */
function brief(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= MOST_SPELT)) return exponential(value);
  if (size >= 10000) return thousands(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
}

function seconds(value) {
  if (value >= 100) return brief(value);
  return value < 0.005 ? "<0.01" : value.toFixed(value < 10 ? 2 : 1);
}

/** Both ends of a text of more than `most` characters; the same as `inert` of drawing.py. */
function shortened(text, most) {
  const half = Math.floor(most / 2);
  return text.length > most ? `${text.slice(0, most - half)}…${text.slice(text.length - half + 1)}` : text;
}

/** A text that breaks where words are joined before it breaks elsewhere, as `learning_rate` does. */
function breakable(text) {
  return (text.match(/[^_(,=]+[_(,=]*|[_(,=]+/g) || []).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
}

/** Escape text for Plotly, which reads some HTML in labels. */
function inert(text) {
  return shortened(String(text), 60).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
