/* What every section of the page stands on: elements made of text, numbers, data, tables, downloads. core-charts.js and
   core-page.js add charts, and sections with their addresses. One global, `tutelage`. Text from models reaches the page
   as text nodes, never as markup. */
"use strict";

const tutelage = (() => {
  const values = new Map();

  // ---- elements ----

  /* An element. attributes: `class`, `data-…`, `aria-…` and the like; `on` is {event: handler}; `style` is {property:
     value}; true sets an empty attribute, and null, undefined and false leave one out. children: nodes, texts, numbers
     and lists of them. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") {
        for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
      } else if (name === "style") {
        for (const [property, one] of Object.entries(value)) node.style.setProperty(property, one);
      } else if (/^on/i.test(name) || name === "srcdoc") {
        throw new Error(`el: ${name} is not allowed; use on: {event: handler}`);
      } else if ((name === "href" || name === "src") && !/^(#|\.{0,2}\/|https?:|blob:|[\w.-]+(\/|$))/.test(String(value))) {
        throw new Error(`el: ${name} must not be ${String(value).slice(0, 40)}`);
      } else {
        node.setAttribute(name, value === true ? "" : String(value));
      }
    }
    append(node, children);
    return node;
  }

  function append(node, children) {
    for (const child of children) {
      if (child === null || child === undefined || child === false) continue;
      if (Array.isArray(child)) append(node, child);
      else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }

  // ---- numbers as text: rounded as Python rounds them, so that page and terminal say the same ----

  const UNKNOWN = "unknown";
  const NOTHING = "–";
  function rounded(digits, least = digits) {
    return new Intl.NumberFormat("en-US", {minimumFractionDigits: least, maximumFractionDigits: digits, roundingMode: "halfEven"});
  }
  const PERCENT = new Intl.NumberFormat("en-US", {style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1, roundingMode: "halfEven"});
  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  const format = {
    integer: (value) => (isNumber(value) ? rounded(0).format(value) : NOTHING),
    number: (value, digits = 3) => (isNumber(value) ? rounded(digits).format(value) : NOTHING),
    small: (value) => (!isNumber(value) ? NOTHING : value !== 0 && Math.abs(value) < 0.0001 ? value.toExponential() : String(value)),
    percent: (value) => (isNumber(value) ? PERCENT.format(value).replace("%", "\u00a0%") : NOTHING),
    interval: (pair, one = format.percent) => (Array.isArray(pair) ? `${one(pair[0])} to ${one(pair[1])}` : NOTHING),
    pValue: (value) => (!isNumber(value) ? NOTHING : value < 0.001 ? "p < 0.001" : `p = ${rounded(3).format(value)}`),
    seconds: (value) => {
      if (!isNumber(value)) return NOTHING;
      if (value < 60) return `${rounded(1, 0).format(value)}\u00a0s`;
      const whole = Math.round(value);
      if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`;
      return `${Math.floor(whole / 3600)}\u00a0h ${Math.floor((whole % 3600) / 60)}\u00a0min`;
    },
  };

  // ---- data ----

  /* A section's data, or undefined. It is in the page as JSON; `refresh` replaces it. */
  function data(name) {
    if (!values.has(name)) {
      const node = document.getElementById(`data-${name}`);
      if (node === null) return undefined;
      values.set(name, JSON.parse(node.textContent));
    }
    return values.get(name);
  }

  function replaceData(name, value) {
    values.set(name, value);
  }

  /* A chunk that is packed until it is needed: a promise of its value. */
  async function chunk(name) {
    const node = document.getElementById(`chunk-${name}`);
    if (node === null) throw new Error(`There is no part ${name} in this page.`);
    const bytes = Uint8Array.from(atob(node.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // ---- tables, downloads ----

  /* Marks the tables that have more columns than they show. */
  const widths = new ResizeObserver((entries) => {
    for (const {target} of entries) target.toggleAttribute("data-more", target.scrollWidth > target.clientWidth + 1);
  });

  /* A table in a box of its own that scrolls sideways. columns: {key, label, numeric, heading, format(value, row)};
     format may give a node. rows: objects. heading: the cells that name their row. */
  function table({caption, columns, rows, hideCaption}) {
    const head = el("tr", {}, columns.map((one) => el("th", {scope: "col", class: one.numeric ? "number" : null}, one.label)));
    const body = rows.map((row) => el("tr", {class: row.class_}, columns.map((one) => {
      const value = one.format ? one.format(row[one.key], row) : cell(row[one.key]);
      const className = one.numeric ? "number" : null;
      return one.heading ? el("th", {scope: "row", class: className}, value) : el("td", {class: className}, value);
    })));
    const box = el("div", {class: "table-box", tabindex: "0", role: "region", "aria-label": caption},
      el("table", {}, el("caption", {class: hideCaption ? "hidden" : null}, el("span", {}, caption)), el("thead", {}, head), el("tbody", {}, body)));
    widths.observe(box);
    return box;
  }

  function cell(value) {
    if (value === null || value === undefined) return NOTHING;
    if (value instanceof Node) return value;
    if (Array.isArray(value)) return value.map(cell).join(" to ");
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  function download(name, content, type) {
    const link = el("a", {download: name, hidden: true});
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
    document.body.append(link);
    link.click();
    setTimeout(() => { URL.revokeObjectURL(link.href); link.remove(); }, 1000);
  }

  /* A spreadsheet computes what begins like this; a model's answer is no formula. Numbers stay. https://owasp.org/www-community/attacks/CSV_Injection */
  const harmless = (text) => (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text);

  /* Rows as CSV (RFC 4180): every number as it is in the data, unrounded. */
  function csv(rows, keys = rows.length ? Object.keys(rows[0]) : []) {
    const quoted = (value) => {
      const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : harmless(String(value));
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [keys, ...rows.map((row) => keys.map((key) => row[key]))].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  return {el, table, data, replaceData, chunk, csv, download, format, isNumber, UNKNOWN, NOTHING};
})();
