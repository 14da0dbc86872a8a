/* The questions: a table to search, filter and sort, whose state is in the address, and one question as a story. */
"use strict";

(() => {
  const {el, link} = tutelage;
  const {visible, words, badge, count, said, timeline} = tutelage.story;
  const PAGE = 50;
  const SPLITS = {train: "training", "held-out": "held out", test: "test"};
  const collator = new Intl.Collator("en", {numeric: true});

  let index = null; // the section's data
  let rows = []; // its rows as objects, in the run's order
  let byId = new Map();
  let orders = new Map(); // by what they are sorted by
  let parts = null; // of the table, once it is drawn
  let state = {}; // the filter, as in the address
  let opened = null; // the question that was left for the table
  let shown = null; // the story that was opened last
  let unpacked = 0; // chunks whose words can be searched
  let unpacking = false;
  let held = {}; // the stories that were unpacked last: the next question is mostly among them

  const isRight = (share) => 2 * share[0] > share[1];
  const student = (number) => (number === 0 ? "untrained" : `after round ${number}`);

  // ---- rows and filters ----

  function take(found) {
    index = found;
    rows = found.rows.map(([id, split, text, gold, last, shares, statuses, chunk], place) => ({
      id, split, text, gold, last, shares, statuses: new Set(statuses), chunk, place,
      hay: [id, text, gold, last || ""].join("\n").toLowerCase(), deep: null,
    }));
    byId = new Map(rows.map((row) => [row.id, row]));
    orders = new Map();
    unpacked = 0;
  }

  const statusAt = (id) => index.statuses.findIndex((one) => one.id === id);
  const terms = (query) => (query.q || "").toLowerCase().split(/\s+/).filter(Boolean);

  function says(row, wanted, deep) {
    return wanted.every((term) => row.hay.includes(term) || (deep && row.deep !== null && row.deep.includes(term)));
  }

  /* The rows that a filter leaves, and how many each other choice of split or status would leave. */
  function filtered(query) {
    const wanted = terms(query);
    const status = statusAt(query.status);
    const counts = {split: {"": 0}, status: index.statuses.map(() => 0), any: 0};
    const found = [];
    for (const row of ordered(query)) {
      if (wanted.length && !says(row, wanted, query.deep)) continue;
      const inSplit = !query.split || row.split === query.split;
      const hasStatus = !query.status || row.statuses.has(status);
      if (hasStatus) {
        counts.split[""] += 1;
        counts.split[row.split] = (counts.split[row.split] || 0) + 1;
      }
      if (inSplit) {
        counts.any += 1;
        for (const place of row.statuses) counts.status[place] += 1;
      }
      if (inSplit && hasStatus) found.push(row);
    }
    return {found, counts};
  }

  const KEYS = {
    question: (row) => row.text, split: (row) => row.split, gold: (row) => row.gold, last: (row) => row.last || "",
  };

  function ordered(query) {
    const name = `${query.sort || ""} ${query.dir || ""}`;
    if (!orders.has(name)) orders.set(name, sorted(query.sort, query.dir === "down" ? -1 : 1));
    return orders.get(name);
  }

  /* Those without a value come last, whichever way. */
  function sorted(by, way) {
    const place = by && by.startsWith("student-") ? index.students.indexOf(Number(by.slice(8))) : -1;
    if (place >= 0) {
      const share = (row) => (row.shares[place] ? row.shares[place][0] / row.shares[place][1] : null);
      return [...rows].sort((a, b) => (share(a) === null) - (share(b) === null) || way * (share(a) - share(b)) || a.place - b.place);
    }
    const key = KEYS[by];
    if (!key) return rows;
    return [...rows].sort((a, b) => (key(a) === "") - (key(b) === "") || way * collator.compare(key(a), key(b)) || a.place - b.place);
  }

  // ---- the table ----

  function draw(container, found) {
    take(found);
    parts = {
      search: el("input", {type: "search", id: "q-search", autocomplete: "off", on: {input: () => change({q: parts.search.value}, true)}}),
      deep: el("input", {type: "checkbox", id: "q-deep", on: {change: () => change({deep: parts.deep.checked ? "1" : ""})}}),
      split: el("select", {id: "q-split", on: {change: () => change({split: parts.split.value})}}),
      status: el("select", {id: "q-status", on: {change: () => change({status: parts.status.value})}}),
      left: el("div", {id: "q-left"}),
      rule: el("p", {class: "muted small", id: "q-rule"}),
      summary: el("p", {id: "q-summary", role: "status"}),
      progress: el("p", {class: "muted small", id: "q-progress", role: "status"}),
      head: el("tr"),
      body: el("tbody"),
      pages: el("nav", {class: "q-pages", "aria-label": "Pages of the table"}),
    };
    container.append(
      el("p", {class: "muted"}, index.rule,
        " The last round's student sits no further exam, so its column is empty for training questions."),
      parts.left,
      el("form", {class: "q-filters", role: "search", "aria-label": "Questions", on: {submit: (event) => event.preventDefault()}},
        el("div", {class: "q-wide"}, el("label", {for: "q-search"}, "Search"), parts.search,
          el("div", {class: "q-deep"}, parts.deep, el("label", {for: "q-deep"}, "in all attempts and replies, too"))),
        el("div", {}, el("label", {for: "q-status"}, "Status"), parts.status),
        el("div", {}, el("label", {for: "q-split"}, "Split"), parts.split)),
      parts.rule, parts.progress,
      el("div", {class: "q-line"}, parts.summary,
        el("button", {type: "button", on: {click: () => change({q: "", split: "", status: "", deep: "", sort: "", dir: ""})}}, "Reset"),
        el("button", {type: "button", on: {click: saveCsv}}, "CSV of these questions")),
      el("div", {class: "table-box q-box", tabindex: "0", role: "region", "aria-label": "Questions, a table"},
        el("table", {class: "q-table"}, el("caption", {class: "hidden"}, "Questions, with how many attempts of each student were right"),
          el("thead", {}, parts.head), parts.body)),
      parts.pages);
    parts.left.replaceChildren(...leftOut());
    apply(state);
  }

  /* New data of a run that goes on: what the reader types, and the story that is open, stay where they are. */
  function update(_container, found) {
    take(found);
    parts.progress.textContent = "";
    parts.left.replaceChildren(...leftOut());
    apply(state);
    const row = shown && shown.body.isConnected ? byId.get(shown.id) : null;
    if (row) tellStory(row, shown.body).catch((error) => tellFault(shown.body, error));
  }

  function tellFault(body, error) {
    body.replaceChildren(el("p", {class: "fault"}, `Its story could not be read: ${error.message}`));
  }

  function leftOut() {
    if (!index.left_out) return [];
    return [el("p", {class: "note"}, `To keep this file small, the stories of ${count(index.left_out, "question")} with the least to see are left out. `,
      "They are in ", el("code", {}, `${index.folder}/round-…/{exam,feedback,lesson,evaluation}.jsonl`), ".")];
  }

  /* Takes in a change of the filter and writes it into the address; typing leaves no trail of letters behind. */
  function change(what, typing = false) {
    state = Object.fromEntries(Object.entries({...state, page: "", ...what}).filter(([, value]) => value));
    history[typing ? "replaceState" : "pushState"](null, "", link(["questions"], state));
    apply(state);
  }

  function apply(query) {
    state = query;
    if (!parts) return;
    if (query.deep) unpackAll();
    const {found, counts} = filtered(query);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const page = Math.min(pages, Math.max(1, Math.trunc(Number(query.page)) || 1));
    if (parts.search.value !== (query.q || "")) parts.search.value = query.q || "";
    parts.deep.checked = Boolean(query.deep);
    drawChoices(query, counts);
    drawHead(query);
    const first = (page - 1) * PAGE;
    parts.body.replaceChildren(...found.slice(first, first + PAGE).map(drawRow));
    parts.summary.textContent = `${tutelage.format.integer(found.length)} of ${count(rows.length, "question")}`
      + (pages > 1 ? `, page ${page} of ${tutelage.format.integer(pages)}` : "");
    drawPages(page, pages);
  }

  function drawChoices(query, counts) {
    const choice = (value, text, number, chosen) => el("option", {value, selected: value === (chosen || "")}, `${text} (${tutelage.format.integer(number || 0)})`);
    const splits = Object.keys(SPLITS).filter((name) => counts.split[name] || rows.some((row) => row.split === name));
    parts.split.replaceChildren(choice("", "all", counts.split[""], query.split),
      ...splits.map((name) => choice(name, SPLITS[name], counts.split[name], query.split)));
    parts.status.replaceChildren(choice("", "any", counts.any, query.status),
      ...index.statuses.map((one, place) => choice(one.id, one.label, counts.status[place], query.status)));
    const chosen = index.statuses[statusAt(query.status)];
    parts.rule.textContent = chosen ? `${chosen.label}: ${chosen.rule}` : query.status ? `This run has no status “${query.status}”.` : "";
  }

  function columns() {
    const asked = index.students.map((number) => [`student-${number}`, student(number)]);
    return [["question", "question"], ...asked, ["gold", "right answer"], ["last", "last answer"], ["split", "split"]]; // on a phone the first few show
  }

  function drawHead(query) {
    const focused = document.activeElement && document.activeElement.dataset.sort;
    parts.head.replaceChildren(...columns().map(([name, label]) => {
      const by = query.sort === name;
      const down = by && query.dir === "down";
      const sort = by ? (down ? "descending" : "ascending") : null;
      const next = !by ? {sort: name, dir: ""} : down ? {sort: "", dir: ""} : {sort: name, dir: "down"};
      return el("th", {scope: "col", "aria-sort": sort},
        el("button", {type: "button", class: "q-sort", "data-sort": name, on: {click: () => change(next)}}, label,
          el("span", {"aria-hidden": "true"}, by ? (down ? " ↓" : " ↑") : "")));
    }));
    if (focused) parts.head.querySelector(`[data-sort="${focused}"]`)?.focus({preventScroll: true});
  }

  function drawRow(row) {
    return el("tr", {"data-key": row.id},
      el("th", {scope: "row"},
        el("a", {href: toQuestion(row), class: "q-open", dir: "auto"}, visible(row.text) || "(no text)"),
        el("div", {class: "muted small"}, words(row.id))),
      row.shares.map((share) => el("td", {class: "q-share"}, shareBadge(share))),
      el("td", {class: "q-answer"}, words(row.gold)),
      el("td", {class: "q-answer"}, row.last === null ? el("span", {class: "muted"}, "none") : words(row.last)),
      el("td", {class: "q-split"}, SPLITS[row.split]));
  }

  function shareBadge(share) {
    if (!share) return el("span", {class: "muted"}, el("span", {"aria-hidden": "true"}, tutelage.NOTHING), el("span", {class: "hidden"}, "not asked"));
    return badge(isRight(share), [el("span", {class: "hidden"}, isRight(share) ? "right, " : "wrong, "), share[1] > 1 ? `${share[0]} of ${share[1]}` : isRight(share) ? "right" : "wrong"]);
  }

  const toQuestion = (row) => link(["question", row.id], {...state, page: ""});

  function drawPages(page, pages) {
    const turn = (text, to) => el("button", {type: "button", disabled: to < 1 || to > pages || to === page, "data-key": text, on: {click: () => {
      change({page: to > 1 ? String(to) : ""});
      (parts.pages.querySelector(`[data-key="${text}"]:enabled`) || parts.pages.querySelector("button:enabled")).focus();
      document.getElementById("q-summary").scrollIntoView({block: "nearest"});
    }}}, text);
    parts.pages.replaceChildren(...(pages > 1 ? [turn("First", 1), turn("Previous", page - 1), turn("Next", page + 1), turn("Last", pages)] : []));
  }

  function saveCsv() {
    const {found} = filtered(state);
    const labels = (row) => [...row.statuses].map((place) => index.statuses[place].label).join("; ");
    const shares = (row) => Object.fromEntries(row.shares.flatMap((share, place) => {
      const name = student(index.students[place]);
      return [[`${name}: right`, share ? share[0] : null], [`${name}: attempts`, share ? share[1] : null]];
    }));
    tutelage.download("questions.csv", tutelage.csv(found.map((row) => ({
      id: row.id, split: row.split, question: row.text, "right answer": row.gold, "last answer": row.last, ...shares(row), statuses: labels(row),
    }))), "text/csv");
  }

  // ---- searching in all stories ----

  async function unpackAll() {
    if (unpacking || unpacked === index.chunks) return;
    unpacking = true;
    const of = index;
    let failed = false;
    try {
      for (let number = unpacked; number < of.chunks; number += 1) {
        parts.progress.textContent = `Reading attempts and replies: ${number} of ${of.chunks} parts.`;
        for (const story of await tutelage.chunk(`questions-${number}`)) {
          const row = byId.get(story.id);
          if (row) row.deep = spoken(story).join("\n").toLowerCase();
        }
        if (index !== of) break; // new data came meanwhile
        unpacked = number + 1;
        await new Promise((resolve) => { setTimeout(resolve, 0); });
      }
      if (index === of) parts.progress.textContent = index.left_out ? "All attempts and replies that are in this file are searched." : "All attempts and replies are searched.";
    } catch (error) {
      failed = true;
      parts.progress.textContent = `The attempts and replies could not be read: ${error.message}`;
    } finally {
      unpacking = false;
    }
    if (!failed) apply(state);
  }

  function spoken(story) {
    const attempts = Object.values(story.answers).flat().flatMap((one) => [one.text, one.answer]);
    const replies = Object.values(story.rounds).flatMap((one) => one.replies.flatMap((reply) => [reply.text, reply.answer]));
    return [story.text, ...attempts, ...replies, ...story.choices].filter(Boolean);
  }

  // ---- one question ----

  function openQuestion({id}, query, view) {
    state = query;
    apply(query);
    const row = byId.get(id);
    view.append(el("h2", {class: "q-title", tabindex: "-1"}, "Question ", words(id)));
    if (!row) {
      view.append(el("p", {class: "fault"}, "This run has no question of this name."), back(query));
      return;
    }
    opened = id;
    const body = el("div", {}, el("p", {class: "muted"}, "Unpacking …"));
    view.append(controls(row, query), face(row), body);
    shown = {id, body, told: null};
    tellStory(row, body).catch((error) => tellFault(body, error));
  }

  const back = (query) => el("a", {href: link(["questions"], query)}, "Back to the table");

  function controls(row, query) {
    const {found} = filtered(query);
    const place = found.indexOf(row);
    const step = (text, to) => (to ? el("a", {href: link(["question", to.id], query), "data-key": text}, text) : el("span", {class: "muted"}, text));
    const page = place < 0 ? "" : String(Math.floor(place / PAGE) + 1);
    const told = el("span", {role: "status", class: "small"});
    return el("nav", {class: "q-controls", "aria-label": "Questions"},
      back({...query, page: page === "1" ? "" : page}),
      step("Previous", found[place - 1]), step("Next", place < 0 ? found[0] : found[place + 1]),
      el("span", {class: "muted small"}, place < 0 ? "not among the filtered ones" : `${tutelage.format.integer(place + 1)} of ${tutelage.format.integer(found.length)}`),
      el("button", {type: "button", class: "quiet", on: {click: () => copyLink(row, told)}}, "Copy link"), told);
  }

  async function copyLink(row, told) {
    const address = location.href.split("#")[0] + link(["question", row.id]);
    try {
      await navigator.clipboard.writeText(address);
      told.replaceChildren("Copied.");
    } catch { // not allowed here: to be copied by hand
      const field = el("input", {type: "text", readonly: true, value: address, "aria-label": "Link to this question"});
      told.replaceChildren(field);
      field.select();
    }
  }

  function face(row) {
    const statuses = [...row.statuses].map((place) => el("li", {},
      el("a", {href: link(["questions"], {status: index.statuses[place].id}), title: index.statuses[place].rule}, index.statuses[place].label)));
    return el("div", {class: "q-face"},
      el("p", {class: "q-text", dir: "auto"}, visible(row.text)),
      el("div", {class: "q-choices"}),
      el("p", {}, "Right answer: ", el("strong", {}, words(row.gold)), el("span", {class: "muted"}, ` · ${SPLITS[row.split]} question`)),
      statuses.length ? el("ul", {class: "q-statuses", "aria-label": "Statuses"}, statuses) : null);
  }

  async function tellStory(row, body) {
    if (row.chunk === null) {
      body.replaceChildren(el("p", {class: "note"}, "Its story was left out to keep this file small. It is in ",
        el("code", {}, `${index.folder}/round-…/{exam,feedback,lesson,evaluation}.jsonl`), "."));
      return;
    }
    if (held.chunk !== row.chunk || held.index !== index) held = {index, chunk: row.chunk, stories: tutelage.chunk(`questions-${row.chunk}`)};
    const story = (await held.stories).find((one) => one.id === row.id);
    if (!story) throw new Error("it is not where it should be");
    const told = JSON.stringify(story);
    if (shown.body !== body || shown.told === told) return; // another one was opened meanwhile, or nothing is new
    const open = shown.told === null ? [] : [...body.querySelectorAll("details[open]")].map((one) => one.dataset.key);
    shown.told = told;
    if (story.text) body.parentElement.querySelector(".q-text").textContent = visible(story.text);
    const choices = body.parentElement && body.parentElement.querySelector(".q-choices");
    if (choices && story.choices.length) choices.replaceChildren(el("ol", {type: "A"}, story.choices.map((one) => el("li", {dir: "auto"}, visible(one)))));
    body.replaceChildren(
      story.worked ? el("details", {"data-key": "worked"}, el("summary", {}, "The worked solution that came with it"), said(story.worked)) : "",
      el("ol", {class: "q-timeline"}, timeline(row, story, index)));
    for (const one of body.querySelectorAll("details")) one.open = open.includes(one.dataset.key);
  }

  // ---- the address ----

  function showTable(query) {
    apply(query);
    const from = opened;
    opened = null;
    if (from === null || !parts) return;
    const row = [...parts.body.children].find((one) => one.dataset.key === from);
    const target = row && row.querySelector("a");
    setTimeout(() => { // after the page has scrolled to where it was
      if (!target || !target.isConnected) return;
      target.focus({preventScroll: true});
      const box = target.getBoundingClientRect();
      if (box.top < 0 || box.bottom > window.innerHeight) tutelage.settle(target, {block: "center"});
    }, 0);
  }

  window.addEventListener("hashchange", () => {
    if (index && tutelage.address().parts.length === 0) showTable({});
  });
  tutelage.route("questions", (_parameters, query) => { if (index) showTable(query); });
  tutelage.route("question/:id", (parameters, query, view) => { if (index) openQuestion(parameters, query, view); }, {view: true});
  tutelage.section("questions", {title: "Questions", render: draw, update});
})();
