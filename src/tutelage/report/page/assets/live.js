/* Where the run stands, above everything; and, in a page that `tutelage watch` serves, what has changed since. */
"use strict";

(() => {
  const {el} = tutelage;
  const SECONDS = 1;
  const LONGEST_SECONDS = 20;
  let bar = null;
  let sentence = null;
  let stage = null;
  let connection = null;

  // ---- where it stands ----

  /* The strip is made once, so that a screen reader hears of a new stage, and not of each step. */
  function makeStrip() {
    sentence = el("p", {id: "now-sentence"});
    bar = el("progress", {"aria-label": "How far this stage is", hidden: true});
    stage = el("p", {class: "hidden", role: "status"});
    connection = el("p", {id: "connection", role: "status"});
    const strip = el("section", {id: "now", "aria-label": "Now"}, connection, sentence, bar, stage);
    document.getElementById("head").after(strip);
  }

  function put(node, text) {
    if (node.dataset.text === text) return; // else it would be said again, and a selection lost
    node.dataset.text = text;
    node.replaceChildren(el("span", {}, text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part))));
  }

  function tell(status) {
    put(sentence, status.sentence);
    const counted = status.state === "running" && Number.isFinite(status.done) && status.total > 0;
    bar.hidden = !counted;
    if (counted) {
      bar.max = status.total;
      bar.value = status.done;
    }
    put(stage, status.state === "running" ? `Round ${status.round ?? 0}, ${status.stage ?? "start"}` : status.sentence);
    document.getElementById("now").dataset.state = status.state;
  }

  function connect(text, lost) {
    put(connection, text);
    connection.classList.toggle("lost", lost);
  }

  // ---- what has changed ----

  async function get(path) {
    const reply = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(LONGEST_SECONDS * 1000)});
    if (reply.status === 404) return undefined;
    if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
    return reply.text();
  }

  /* Chunks are text in elements of the page; data goes to the sections. */
  async function take(names) {
    const found = await Promise.all(names.map(async (name) => [name, await get(`part/${encodeURIComponent(name)}`)]));
    const fresh = {};
    for (const [name, text] of found) {
      if (name.startsWith("chunk-")) putChunk(name, text);
      else fresh[name.replace(/^data-/, "")] = text === undefined ? null : JSON.parse(text);
    }
    return fresh;
  }

  function putChunk(name, text) {
    const old = document.getElementById(name);
    if (old) old.remove();
    if (text === undefined) return;
    const node = el("script", {type: "application/gzip", id: name});
    node.textContent = text;
    document.body.append(node);
  }

  function watch(page) {
    let known = {session: page.session, number: page.number};
    const poll = async () => {
      try {
        const state = JSON.parse(await get(`state?session=${known.session}&since=${known.number}`));
        const fresh = state.parts.length ? await take(state.parts) : {};
        known = state;
        connect("Live", false);
        tutelage.refresh(fresh);
        tell(state.status);
      } catch (error) {
        connect("Connection lost: tutelage watch does not answer. What is shown is as it was.", true);
        console.info(error.message);
      }
      setTimeout(poll, SECONDS * 1000);
    };
    setTimeout(poll, SECONDS * 1000);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const status = tutelage.data("status");
    const page = tutelage.data("watch");
    if (!status || (status.state === "finished" && !page)) return; // the overview says it
    makeStrip();
    tell(status);
    if (page) connect("Live", false);
    if (page) watch(page);
  });
})();
