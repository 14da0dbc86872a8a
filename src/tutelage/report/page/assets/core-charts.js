/* Charts by Vega-Lite: drawn in the colours of the scheme, with their numbers as a table, and as files to take away. */
"use strict";

(() => {
  const {el, table, data, csv, download, isNumber} = tutelage;
  const charts = new Set();
  const heights = new Map(); // of charts that were drawn before, so that one that is drawn anew moves nothing

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

  function configured({spec, rows, height}, width) {
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
      ...(height ? {height} : {}),
      config: {
        aria: false,
        font: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
        view: {stroke: null},
        axis,
        legend: {labelColor: colours.text, titleColor: colours.muted, labelFontSize: 12, symbolStrokeWidth: 2, columns: Math.max(1, Math.floor(width / 100))},
        text: {color: colours.text},
        ...(spec.config || {}),
      },
    };
  }

  /* Draws a Vega-Lite specification (or one of the page's by its name) of `rows`, with the numbers as a table, and
     buttons for files. label: what it shows, in words, for whoever does not see it. file: the files' name without
     ending. columns: of the table, as `table` takes them; left out, all keys of the rows. height: in place of the
     specification's own. */
  function chart(container, spec, {label, rows, file, columns, caption, height}) {
    const wanted = typeof spec === "string" ? data("charts")[spec] : spec;
    const box = el("div", {class: "chart-box", role: "img", "aria-label": label});
    if (heights.has(file)) box.style.setProperty("min-height", `${heights.get(file)}px`);
    const keys = rows.length ? Object.keys(rows[0]) : [];
    const shown = columns || keys.map((key) => ({key, label: key, numeric: rows.some((row) => isNumber(row[key]))}));
    const button = (text, what, action) => el("button", {type: "button", class: "quiet", "aria-label": `Download ${what} of: ${label}`, on: {click: action}}, text);
    const numbers = el("details", {class: "numbers"}, el("summary", {}, "Numbers"));
    numbers.addEventListener("toggle", () => {
      if (numbers.open && numbers.children.length === 1) numbers.append(table({caption: label, columns: shown, rows, hideCaption: true}));
    });
    const one = {box, spec: wanted, rows, height, file, width: 0, view: null};
    container.append(el("figure", {class: "chart", "data-key": file},
      caption ? el("figcaption", {}, caption) : null,
      box,
      el("div", {class: "chart-foot"},
        numbers,
        el("span", {class: "chart-tools"},
          button("PNG", "a PNG", () => savePng(one)),
          button("SVG", "an SVG", () => saveSvg(one)),
          button("CSV", "the numbers as CSV", () => download(`${file}.csv`, csv(rows, keys), "text/csv"))))));
    charts.add(one);
    sizes.observe(box);
    return one;
  }

  async function draw(one) {
    const width = Math.floor(one.box.clientWidth);
    if (width === 0) return;
    one.width = width;
    const turn = (one.turn = (one.turn || 0) + 1);
    const made = el("div", {"aria-hidden": "true"}); // its label and the table of its numbers speak for it
    const result = await vegaEmbed(made, configured(one, width), {
      actions: false, renderer: "svg", ast: true, defaultStyle: false, tooltip: tip,
    });
    if (turn !== one.turn) return result.finalize();
    if (one.view) one.view.finalize();
    one.view = result;
    one.box.replaceChildren(made);
    one.box.style.removeProperty("min-height");
    heights.set(one.file, one.box.getBoundingClientRect().height);
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
  function hideTip() {
    tipBox.hidden = true;
  }

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

  Object.assign(tutelage, {chart, redrawCharts, forgetCharts, hideTip, tipBox});
})();
