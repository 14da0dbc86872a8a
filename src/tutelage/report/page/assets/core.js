/* What every section of the page stands on: elements made of text, tables, charts, downloads, the address, and the
   redrawing of what changed. One global, `tutelage`. Text from models reaches the page as text nodes, never as markup. */
"use strict";

const tutelage = (() => {
  const ORDER = ["overview", "rounds", "questions", "inside", "comparison"];
  const sections = new Map();
  const routes = [];
  const values = new Map();
  const charts = new Set();

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
    small: (value) => (!isNumber(value) ? NOTHING : value !== 0 && Math.abs(value) < 0.001 ? value.toExponential() : String(value)),
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

  /* A chunk that is packed until it is needed: a promise of its value. */
  async function chunk(name) {
    const node = document.getElementById(`chunk-${name}`);
    if (node === null) throw new Error(`There is no part ${name} in this page.`);
    const bytes = Uint8Array.from(atob(node.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // ---- tables, downloads ----

  /* A table in a box of its own that scrolls sideways. columns: {key, label, numeric, heading, format(value, row)};
     format may give a node. rows: objects. heading: the cells that name their row. */
  function table({caption, columns, rows, hideCaption}) {
    const head = el("tr", {}, columns.map((one) => el("th", {scope: "col", class: one.numeric ? "number" : null}, one.label)));
    const body = rows.map((row) => el("tr", {class: row.class_}, columns.map((one) => {
      const value = one.format ? one.format(row[one.key], row) : cell(row[one.key]);
      const className = one.numeric ? "number" : null;
      return one.heading ? el("th", {scope: "row", class: className}, value) : el("td", {class: className}, value);
    })));
    return el("div", {class: "table-box", tabindex: "0", role: "region", "aria-label": caption},
      el("table", {}, el("caption", {class: hideCaption ? "hidden" : null}, caption), el("thead", {}, head), el("tbody", {}, body)));
  }

  function cell(value) {
    if (value === null || value === undefined) return NOTHING;
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

  /* Rows as CSV (RFC 4180): every number as it is in the data, unrounded. */
  function csv(rows, keys = rows.length ? Object.keys(rows[0]) : []) {
    const quoted = (value) => {
      const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [keys, ...rows.map((row) => keys.map((key) => row[key]))].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  // ---- charts ----

  function theme() {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    return Object.fromEntries(["accent", "second", "good", "bad", "muted", "text", "line", "paper"].map((name) => [name, named(name)]));
  }

  function coloured(value, colours) {
    if (typeof value === "string") return value.startsWith("$") && value.slice(1) in colours ? colours[value.slice(1)] : value;
    if (Array.isArray(value)) return value.map((one) => coloured(one, colours));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, colours)]));
    return value;
  }

  function configured(spec, rows, width) {
    const colours = theme();
    const axis = {labelColor: colours.muted, titleColor: colours.muted, titleFontWeight: "normal", gridColor: colours.line,
      domainColor: colours.line, tickColor: colours.line, labelFontSize: 12, titleFontSize: 12, titlePadding: 8};
    return {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      width,
      background: colours.paper,
      autosize: {type: "fit-x", contains: "padding"},
      padding: 4,
      data: {values: rows},
      ...coloured(spec, colours),
      config: {
        aria: false,
        font: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
        view: {stroke: null},
        axis,
        legend: {labelColor: colours.text, titleColor: colours.muted, labelFontSize: 12, symbolStrokeWidth: 2},
        text: {color: colours.text},
        ...(spec.config || {}),
      },
    };
  }

  /* Draws a Vega-Lite specification (or one of the page's by its name) of `rows`, with the numbers as a table, and
     buttons for files. label: what it shows, in words, for whoever does not see it. file: the files' name without
     ending. columns: of the table, as `table` takes them; left out, all keys of the rows. */
  function chart(container, spec, {label, rows, file, columns, caption}) {
    const wanted = typeof spec === "string" ? data("charts")[spec] : spec;
    const box = el("div", {class: "chart-box", role: "img", "aria-label": label});
    const keys = rows.length ? Object.keys(rows[0]) : [];
    const shown = columns || keys.map((key) => ({key, label: key, numeric: rows.some((row) => isNumber(row[key]))}));
    const button = (text, what, action) => el("button", {type: "button", class: "quiet", "aria-label": `Download ${what} of: ${label}`, on: {click: action}}, text);
    const numbers = el("details", {class: "numbers"}, el("summary", {}, "Numbers"));
    numbers.addEventListener("toggle", () => {
      if (numbers.open && numbers.children.length === 1) numbers.append(table({caption: label, columns: shown, rows, hideCaption: true}));
    });
    const one = {box, spec: wanted, rows, width: 0, view: null, file};
    container.append(el("figure", {class: "chart"},
      caption ? el("figcaption", {}, caption) : null,
      box,
      el("div", {class: "chart-tools"},
        button("PNG", "a PNG", () => savePng(one)),
        button("SVG", "an SVG", () => saveSvg(one)),
        button("CSV", "the numbers as CSV", () => download(`${file}.csv`, csv(rows, keys), "text/csv"))),
      numbers));
    charts.add(one);
    sizes.observe(box);
    return one;
  }

  async function draw(one) {
    const width = Math.floor(one.box.clientWidth);
    if (width === 0) return;
    one.width = width;
    const turn = (one.turn = (one.turn || 0) + 1);
    const made = document.createElement("div");
    const result = await vegaEmbed(made, configured(one.spec, one.rows, width), {
      actions: false, renderer: "svg", ast: true, defaultStyle: false, tooltip: tip,
    });
    if (turn !== one.turn) return result.finalize();
    if (one.view) one.view.finalize();
    one.view = result;
    one.box.replaceChildren(made);
  }

  function tell(one, error) {
    one.box.replaceChildren(el("p", {class: "fault"}, `This chart could not be drawn: ${error.message}`));
  }

  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const one = [...charts].find((each) => each.box === entry.target);
      if (one && Math.abs(Math.floor(one.box.clientWidth) - one.width) > 1) draw(one).catch((error) => tell(one, error));
    }
  });

  function forgetCharts(container) {
    for (const one of charts) {
      if (!container.contains(one.box)) continue;
      sizes.unobserve(one.box);
      if (one.view) one.view.finalize();
      charts.delete(one);
    }
  }

  function redrawCharts() {
    for (const one of charts) draw(one).catch((error) => tell(one, error));
  }

  async function saveSvg(one) {
    download(`${one.file}.svg`, await one.view.view.toSVG(), "image/svg+xml");
  }

  async function savePng(one) {
    const canvas = await one.view.view.toCanvas(2);
    canvas.toBlob((blob) => download(`${one.file}.png`, blob), "image/png");
  }

  /* The little box beside the pointer; its words are text nodes. */
  const tipBox = el("div", {class: "tip", "aria-hidden": "true", hidden: true});
  function tip(_handler, event, _item, value) {
    if (value === null || value === undefined || value === "") {
      tipBox.hidden = true;
      return;
    }
    const pairs = typeof value === "object" ? Object.entries(value) : [["", value]];
    tipBox.replaceChildren(...pairs.map(([name, one]) => el("div", {}, name ? el("span", {}, `${name} `) : null, String(one))));
    tipBox.hidden = false;
    const left = Math.min(event.clientX + 12, window.innerWidth - tipBox.offsetWidth - 8);
    tipBox.style.setProperty("left", `${Math.max(8, left)}px`);
    tipBox.style.setProperty("top", `${event.clientY + 14}px`);
  }

  // ---- light and dark ----

  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : systemDark.matches;
  }

  function chooseTheme(name) {
    if (name) document.documentElement.dataset.theme = name;
    try {
      if (name) localStorage.setItem("tutelage-theme", name);
      else document.documentElement.dataset.theme = localStorage.getItem("tutelage-theme") || "";
    } catch { /* a browser that keeps nothing for files */ }
    if (!document.documentElement.dataset.theme) delete document.documentElement.dataset.theme;
    const toggle = document.getElementById("theme");
    if (toggle) toggle.textContent = isDark() ? "Light" : "Dark";
    if (toggle) toggle.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
    redrawCharts();
  }

  // ---- sections ----

  /* Registers a section. render(container, data) fills its empty container. update(container, data), if given, is
     called for new data instead of drawing it all anew. */
  function section(name, {title, render, update}) {
    sections.set(name, {name, title, render, update});
  }

  function drawSection(one) {
    const container = document.getElementById(`body-${one.name}`);
    forgetCharts(container);
    container.replaceChildren();
    try {
      one.render(container, data(one.name));
    } catch (error) {
      container.append(el("p", {class: "fault"}, `This section could not be drawn: ${error.message}`));
      console.error(error);
    }
  }

  function present() {
    const known = [...sections.values()].filter((one) => data(one.name) !== undefined && data(one.name) !== null);
    const place = (one) => (ORDER.includes(one.name) ? ORDER.indexOf(one.name) : ORDER.length);
    return known.sort((a, b) => place(a) - place(b));
  }

  function drawAll() {
    const main = document.getElementById("content");
    forgetCharts(main);
    drawHead();
    const shown = present();
    main.replaceChildren(
      el("div", {id: "sections"}, shown.map((one) => el("section", {id: `section-${one.name}`, "aria-labelledby": `heading-${one.name}`},
        el("h2", {id: `heading-${one.name}`, tabindex: "-1"}, one.title),
        el("div", {id: `body-${one.name}`})))),
      el("div", {id: "view", hidden: true}));
    for (const one of shown) drawSection(one);
  }

  function drawHead() {
    const about = data("about") || {};
    const toggle = el("button", {id: "theme", type: "button", class: "quiet", on: {click: () => chooseTheme(isDark() ? "light" : "dark")}}, "Dark");
    document.getElementById("head").replaceChildren(
      el("div", {class: "bar"}, el("span", {class: "brand"}, "Tutelage"), el("div", {id: "live", role: "status", "aria-live": "polite"}), toggle),
      el("h1", {}, about.title || document.title),
      el("nav", {"aria-label": "Sections"}, present().map((one) => el("a", {href: `#/${one.name}`}, one.title))));
    document.getElementById("foot").replaceChildren(
      el("p", {}, `Written ${about.written || ""} by Tutelage ${about.version || ""}${about.run ? " from " : ""}`, about.run ? el("code", {}, about.run) : null, "."));
    if (!tipBox.isConnected) document.body.append(tipBox);
    chooseTheme();
  }

  /* Takes new data in, {name: data}; sections whose data changed are drawn anew. Scroll, focus and open parts stay. */
  function refresh(newData) {
    const changed = Object.keys(newData).filter((name) => JSON.stringify(data(name)) !== JSON.stringify(newData[name]));
    if (!changed.length) return [];
    const before = present().map((one) => one.name).join();
    for (const name of changed) values.set(name, newData[name]);
    kept(() => {
      if (before !== present().map((one) => one.name).join()) {
        drawAll();
        follow(false);
        return;
      }
      if (changed.includes("about")) drawHead();
      for (const name of changed) {
        const one = sections.get(name);
        const container = document.getElementById(`body-${name}`);
        if (!one || !container) continue;
        if (one.update) one.update(container, data(name));
        else drawSection(one);
      }
    });
    return changed;
  }

  function kept(work) {
    const top = window.scrollY;
    const main = document.getElementById("content");
    const open = [...main.querySelectorAll("details[open]")].map(pathTo);
    const focused = main.contains(document.activeElement) && document.activeElement !== main ? pathTo(document.activeElement) : null;
    main.style.setProperty("min-height", `${main.offsetHeight}px`); // charts come a moment later, and the page must not jump
    setTimeout(() => main.style.removeProperty("min-height"), 1500);
    work();
    for (const path of open) {
      const node = at(path);
      if (node instanceof HTMLDetailsElement) node.open = true;
    }
    const node = focused && at(focused);
    if (node) node.focus({preventScroll: true});
    window.scrollTo({top, behavior: "instant"});
  }

  /* Where an element is: the nearest id above it, and the way down from there; data-key names a child that may move. */
  function pathTo(node) {
    const steps = [];
    for (let here = node; ; here = here.parentElement) {
      if (here.id) return {id: here.id, steps};
      steps.unshift(here.dataset.key ? {key: here.dataset.key} : {place: [...here.parentElement.children].indexOf(here)});
    }
  }

  function at({id, steps}) {
    let node = document.getElementById(id);
    for (const step of steps) {
      if (!node) return null;
      node = "key" in step ? [...node.children].find((one) => one.dataset.key === step.key) : node.children[step.place];
    }
    return node || null;
  }

  // ---- the address: #/section?…, or #/question/ID of a registered pattern ----

  /* Calls handler(parameters, query, container) when the address fits the pattern, such as "question/:id". With
     {view: true} it draws into `container`, in place of the sections, and may return the title of the view. */
  function route(pattern, handler, {view = false} = {}) {
    routes.push({parts: pattern.split("/"), handler, view});
  }

  /* An address within the page. parts: texts such as ["question", id]; query: an object. */
  function link(parts, query = {}) {
    const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
    return `#/${parts.map(encodeURIComponent).join("/")}${asked ? `?${asked}` : ""}`;
  }

  function address() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
    let parts = [];
    try {
      parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    } catch { /* a link that was cut */ }
    return {parts, query: Object.fromEntries(new URLSearchParams(query || ""))};
  }

  function fits(pattern, parts) {
    if (pattern.length !== parts.length) return null;
    const found = {};
    for (const [place, name] of pattern.entries()) {
      if (name.startsWith(":")) found[name.slice(1)] = parts[place];
      else if (name !== parts[place]) return null;
    }
    return found;
  }

  let lastPath = null;
  let lastTop = 0;
  function follow(moves = true) {
    if (location.hash && !location.hash.startsWith("#/")) return; // the skip link
    const {parts, query} = address();
    const view = document.getElementById("view");
    const wasView = !view.hidden;
    const found = routes.map((one) => ({one, parameters: fits(one.parts, parts)})).filter(({parameters}) => parameters);
    const drawn = found.find(({one}) => one.view);
    if (drawn && !wasView) lastTop = window.scrollY;
    forgetCharts(view);
    view.replaceChildren();
    view.hidden = !drawn;
    document.getElementById("sections").hidden = Boolean(drawn);
    for (const {one, parameters} of found) one.handler(parameters, query, one.view ? view : null);
    for (const one of document.querySelectorAll("nav a")) {
      if (one.getAttribute("href") === `#/${parts[0]}`) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
    const path = parts.join("/");
    if (moves && path !== lastPath) move(parts, drawn, view, wasView);
    lastPath = path;
  }

  function move(parts, drawn, view, wasView) {
    if (drawn) {
      window.scrollTo({top: 0, behavior: "instant"});
      const heading = view.querySelector("h2");
      if (heading) heading.setAttribute("tabindex", "-1");
      if (heading) heading.focus({preventScroll: true});
    } else if (wasView) {
      window.scrollTo({top: lastTop, behavior: "instant"}); // back to where the reader was
    } else if (parts.length) {
      const heading = document.getElementById(`heading-${parts[0]}`);
      if (heading) heading.scrollIntoView();
      if (heading) heading.focus({preventScroll: true});
    }
  }

  function start() {
    systemDark.addEventListener("change", () => chooseTheme());
    window.addEventListener("hashchange", () => follow());
    document.addEventListener("pointerdown", () => { tipBox.hidden = true; });
    drawAll();
    follow();
    document.documentElement.dataset.ready = "true";
  }

  document.addEventListener("DOMContentLoaded", start);
  return {el, section, chart, table, data, chunk, csv, download, format, route, link, address, refresh, UNKNOWN, NOTHING};
})();
