/* The page itself: its sections, light and dark, the addresses within it, and the redrawing of what changed. */
"use strict";

(() => {
  const {el, data, replaceData, redrawCharts, forgetCharts, hideTip, tipBox} = tutelage;
  const ORDER = ["overview", "rounds", "questions", "inside", "comparison"];
  const sections = new Map();
  const routes = [];

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
      el("div", {class: "bar"}, el("span", {class: "brand"}, "Tutelage"), toggle),
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
    for (const name of changed) replaceData(name, newData[name]);
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
    const main = document.getElementById("content");
    const seen = topmost(main);
    const open = [...main.querySelectorAll("details[open]")].map(pathTo);
    const focused = main.contains(document.activeElement) && document.activeElement !== main ? pathTo(document.activeElement) : null;
    main.style.setProperty("min-height", `${main.offsetHeight}px`); // charts come a moment later, and the page must not jump
    setTimeout(() => main.style.removeProperty("min-height"), 1500);
    work();
    for (const path of open) {
      const node = at(path);
      if (!(node instanceof HTMLDetailsElement)) continue;
      node.open = true;
      node.dispatchEvent(new Event("toggle")); // the browser's own comes later, and what it fills would move the page
    }
    const node = focused && at(focused);
    if (node) node.focus({preventScroll: true});
    const still = seen && at(seen.path);
    if (still) window.scrollBy({top: still.getBoundingClientRect().top - seen.top, behavior: "instant"});
  }

  /* The element at the top of the window: what is above it may grow or shrink, and it shall not move. */
  function topmost(main) {
    if (window.scrollY === 0) return null;
    const found = document.elementFromPoint(main.getBoundingClientRect().left + 20, 8);
    const node = found && main.contains(found) && found !== main ? found.closest("tr, figure, p, h2, h3, dl, section") : null;
    return node && {path: pathTo(node), top: node.getBoundingClientRect().top};
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
      if (heading) settle(heading);
      if (heading) heading.focus({preventScroll: true});
    }
  }

  /* Scrolls to an element, and again while charts above it are still being drawn, until the reader moves. */
  function settle(node, where = {block: "start"}) {
    const scroll = () => node.scrollIntoView({...where, behavior: "instant"});
    const watcher = new ResizeObserver(scroll);
    const moves = ["wheel", "pointerdown", "touchstart", "keydown", "hashchange"];
    const stop = () => {
      watcher.disconnect();
      for (const one of moves) window.removeEventListener(one, stop);
    };
    for (const one of moves) window.addEventListener(one, stop, {passive: true});
    setTimeout(stop, 3000);
    scroll();
    watcher.observe(document.getElementById("sections"));
  }

  function start() {
    systemDark.addEventListener("change", () => chooseTheme());
    window.addEventListener("hashchange", () => follow());
    document.addEventListener("pointerdown", hideTip);
    drawAll();
    follow();
    document.documentElement.dataset.ready = "true";
  }

  document.addEventListener("DOMContentLoaded", start);
  Object.assign(tutelage, {section, route, link, address, refresh, settle});
})();
