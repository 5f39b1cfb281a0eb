// Ranks the page's pictures by the cosine of their embeddings and a query's, for each run.
// Embeddings of pictures come as int8 about their mean, those of words as int16 (reporting/search/quantised.py).
"use strict";

const SIDE = 64; // tiles along a side of a sheet (reporting/search/sheets.py)
const FINE = 32767;
const SUGGESTED = 20;
const data = JSON.parse(document.getElementById("data").textContent);
const stop = new Set(data.stop);
const word = new RegExp(`[^${data.separators}]+`, "g");
const place = new Map(data.words.map((text, number) => [text, number]));
const longest = Math.max(1, ...data.words.map((text) => text.split(" ").length));

function bytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found.buffer;
}

const runs = data.runs.map((run) => ({
  name: run.name,
  width: run.width,
  mean: new Float32Array(bytes(run.mean)),
  scale: new Float32Array(bytes(run.scale)),
  images: new Int8Array(bytes(run.images)),
  words: new Int16Array(bytes(run.words)),
}));

// The longest known phrases of a query, from left to right, and the words that are in none.
function understood(query) {
  const words = query.toLowerCase().match(word) || [];
  const known = [];
  const unknown = [];
  for (let start = 0; start < words.length; ) {
    let length = Math.min(longest, words.length - start);
    while (length && !place.has(words.slice(start, start + length).join(" "))) length--;
    if (length) known.push(words.slice(start, start + length).join(" "));
    else if (!stop.has(words[start])) unknown.push(words[start]);
    start += length || 1;
  }
  return { known, unknown };
}

function unit(vector) {
  const norm = Math.hypot(...vector) || 1;
  return vector.map((value) => value / norm);
}

// The mean of the phrases' embeddings, of length 1.
function embedded(run, known) {
  const sum = new Float32Array(run.width);
  for (const text of known) {
    const start = place.get(text) * run.width;
    const own = unit(Array.from(run.words.subarray(start, start + run.width), (value) => value / FINE));
    for (let d = 0; d < run.width; d++) sum[d] += own[d];
  }
  return unit(sum);
}

function ranked(run, known) {
  const text = embedded(run, known);
  const count = run.scale.length;
  const common = run.mean.reduce((sum, value, d) => sum + value * text[d], 0);
  const found = new Float32Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    let dot = 0;
    for (let d = 0; d < run.width; d++) dot += run.images[at++] * text[d];
    found[i] = common + run.scale[i] * dot;
  }
  const order = Array.from(found.keys()).sort((a, b) => found[b] - found[a] || a - b);
  return order.slice(0, data.top).map((number) => ({ number, cosine: found[number] }));
}

// Showing

const sheetStyle = document.createElement("style");
sheetStyle.textContent = data.sheets.map((uri, i) => `.sheet-${i}{background-image:url(${uri})}`).join("\n");
document.head.append(sheetStyle);

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function tile(number) {
  const sheet = Math.floor(number / SIDE ** 2);
  const inside = number % SIDE ** 2;
  const rows = data.rows[sheet];
  const shown = element("div", `tile-of-sheet sheet-${sheet}`);
  const along = (at, count) => (count > 1 ? (100 * at) / (count - 1) : 0);
  shown.style.backgroundSize = `${100 * SIDE}% ${100 * rows}%`;
  shown.style.backgroundPosition = `${along(inside % SIDE, SIDE)}% ${along(Math.floor(inside / SIDE), rows)}%`;
  shown.setAttribute("role", "img");
  shown.setAttribute("aria-label", `picture ${number + 1}`); // its caption stands below, and need not be true of it
  return shown;
}

function figure({ number, cosine }) {
  const made = element("figure", "item");
  made.dataset.number = number;
  const caption = element("figcaption");
  caption.append(element("bdi", "", data.captions[number] || "(no caption)"));
  caption.append(element("small", "", `${cosine.toFixed(3)} · ${data.sets[number]}`));
  made.append(tile(number), caption);
  return made;
}

function column(run, known) {
  const made = element("div");
  const shelf = element("div", "shelf");
  shelf.append(...ranked(run, known).map(figure));
  made.dataset.run = run.name;
  made.append(element("h4", "", run.name), shelf);
  return made;
}

const quoted = (texts) => texts.map((text) => `“${text}”`).join(", ");

function sentence(query, { known, unknown }) {
  const missing = unknown.length ? ` Not known here: ${quoted(unknown)}.` : "";
  if (!known.length) return missing.trim();
  if (known.length === 1) return `Nearest to ${quoted(known)}:${missing}`;
  return `“${query.trim()}” is no phrase that is known here. Nearest to the mean of ${quoted(known)}:${missing}`;
}

function search(query) {
  const read = understood(query);
  document.getElementById("said").textContent = sentence(query, read);
  const columns = read.known.length ? runs.map((run) => column(run, read.known)) : [];
  document.getElementById("found").replaceChildren(...columns);
}

function suggest(query) {
  const begun = query.toLowerCase().trim();
  const found = begun ? data.words.filter((text) => text.startsWith(begun)).slice(0, SUGGESTED) : [];
  const options = found.map((text) => Object.assign(document.createElement("option"), { value: text }));
  document.getElementById("known").replaceChildren(...options);
}

const field = document.getElementById("query");
document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search(field.value);
});
field.addEventListener("input", () => suggest(field.value));
search(field.value);
