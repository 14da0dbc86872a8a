/* Several runs side by side, and the tables of `tutelage compare`, a section each. */
"use strict";

(() => {
  const {el, format, table, chart} = tutelage;
  const FEW = 4; // recipe keys that have room in the table of the runs
  const RUNS = "comparison";
  const TABLES = "data-comparison-";

  function notes(list, lead) {
    if (!list.length) return null;
    return el("div", {class: "note"}, el("strong", {}, lead), el("ul", {}, list.map((one) => el("li", {}, one.run ? `${one.run}: ` : null, el("code", {}, one.file), ` is ${one.state}. ${one.why}`))));
  }

  function charts(container, list) {
    const box = el("div", {class: list.length > 1 ? "charts" : null});
    container.append(box);
    for (const one of list) chart(box, one.spec, one);
  }

  function linked(text, address) {
    return address ? el("a", {href: address}, text) : text;
  }

  function listed(names) {
    return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
  }

  // ---- runs ----

  const points = (value) => `${value > 0 ? "+" : ""}${format.number(100 * value, 1)}`;

  function lead(found) {
    const [first, ...others] = found.runs;
    const compared = others.filter((run) => run.difference);
    const sure = compared.filter((run) => run.difference.significant);
    const named = (words, runs) => (runs.length ? `${words} than ${first.name}: ${listed(runs.map((run) => run.name))}. ` : "");
    const apart = named("Significantly better", sure.filter((run) => run.difference.difference > 0)) + named("Significantly worse", sure.filter((run) => run.difference.difference < 0));
    const none = compared.length && !sure.length ? `No run is significantly better or worse than ${first.name}, the first. ` : "";
    const open = compared.length - sure.length;
    const rest = sure.length && open ? `${open === 1 ? "One difference is" : `${open} differences are`} not significant. ` : "";
    const not = others.filter((run) => run.not_compared).map((run) => `${run.name} is not compared with ${first.name}: ${run.not_compared}. `);
    return el("p", {class: "verdict"}, apart, rest, none, not);
  }

  function stopped(run) {
    if (run.reason === null) return `round ${run.kept ?? "?"} so far, not finished`;
    return run.kept === 0 ? "untrained" : `round\u00a0${run.kept ?? "?"}`;
  }

  const LONG = 28; // letters: a sentence, which would push the columns behind it out of sight

  function more(...parts) {
    const text = parts.filter(Boolean).join(" ");
    return el("div", {class: text.length > LONG ? "between long" : "between"}, text);
  }

  function accuracy(score) {
    return score ? [format.percent(score.accuracy), more(`(${format.interval(score.interval)})`)] : tutelage.NOTHING;
  }

  function difference(found, run) {
    if (!found) return run.not_compared ? "not compared" : tutelage.NOTHING;
    return [points(found.difference), more(`(${format.interval(found.interval, points)})`), more(found.significant ? null : "n.s.", format.pValue(found.adjusted))];
  }

  function counted(value, run, shown = format.integer) {
    if (value === null) return run.free ? "not counted" : tutelage.UNKNOWN;
    return run.unknown ? `at least ${shown(value)}` : shown(value);
  }

  function recipeOf(found, place) {
    return el("div", {class: "keys"}, found.recipe.map((one) => el("div", {}, el("code", {}, one.key), ` ${setting(one.values[place])}`)));
  }

  const setting = (value) => (value === null ? "not set" : value);

  function runsTable(found) {
    const places = new Map(found.runs.map((run, place) => [run, place]));
    const few = found.recipe.length > 0 && found.recipe.length <= FEW;
    const columns = [
      {key: "name", label: "run", heading: true, format: (name, run) => linked(name, run.report)},
      few && {key: "folder", label: "what differs in its recipe", format: (_, run) => recipeOf(found, places.get(run))},
      {key: "last", label: "rounds", numeric: true, format: format.integer},
      {key: "kept", label: "kept", format: (_, run) => stopped(run)},
      {key: "score", label: "test accuracy", numeric: true, format: accuracy},
      {key: "difference", label: "points over the first run", numeric: true, format: difference},
      {key: "tokens", label: "teacher's tokens", numeric: true, format: counted},
      {key: "money", label: "teacher's money", numeric: true, format: (value, run) => counted(value, run, (one) => format.small(one))},
      {key: "seconds", label: "device's time", numeric: true, format: (value, run) => [format.seconds(value), more(run.device)]},
    ].filter(Boolean);
    return table({caption: "The runs", columns, rows: found.runs});
  }

  function recipeTable(found) {
    if (found.recipe.length <= FEW) return null;
    const columns = [{key: "key", label: "recipe key", heading: true, format: (key) => el("code", {}, key)},
      ...found.runs.map((run, place) => ({key: "values", label: run.name, format: (values) => setting(values[place])}))];
    return el("details", {"data-key": "recipe"}, el("summary", {}, `What differs in the recipes: ${format.integer(found.recipe.length)} keys`), table({caption: "Recipe keys that are not the same in all runs", columns, rows: found.recipe}));
  }

  function renderRuns(container, found) {
    const missing = found.runs.flatMap((run) => run.notes.map((one) => ({...one, run: run.name})));
    container.append(...[notes(missing, "Not all of these runs could be read."), lead(found), runsTable(found),
      el("p", {class: "muted small"}, "Accuracies are those of the round kept, on the test questions, with Wilson's 95 % interval. Differences are on the same questions, with Tango's 95 % interval and the exact McNemar test's p-value, by Holm's method over all of them; n.s.: not significant at 0.05, and no gain. Tokens, money and time are of all rounds."),
      recipeTable(found)].filter(Boolean));
    charts(container, found.charts);
  }

  // ---- the tables of a comparison ----

  function cellOf(one) {
    return [one.text, one.between ? more(one.between) : null, one.mark || one.note ? more(one.mark, one.note) : null];
  }

  /* A row's runs: by its name, or, where its first cell is none, by its place among the comparison's rows. */
  function runsOf(found, shown, row) {
    const text = row[0] ? row[0].text : "";
    const named = found.runs.filter((run) => run.label === text || run.row === text);
    if (named.length) return named;
    const names = [...new Set(found.runs.map((run) => run.row))];
    return shown.rows.length === names.length ? found.runs.filter((run) => run.row === names[shown.rows.indexOf(row)]) : [];
  }

  function firstCell(found, shown, row) {
    const runs = runsOf(found, shown, row).filter((run) => run.report);
    if (runs.length === 1) return [linked(row[0].text, runs[0].report)];
    const seeds = runs.map((run) => [" ", linked([run.column, `seed ${run.seed}`].filter(Boolean).join(", "), run.report)]);
    return [cellOf(row[0]), runs.length ? el("div", {class: "between"}, seeds) : null];
  }

  function tableOf(found, shown) {
    const columns = shown.columns.map((label, place) => ({
      key: place, label,
      heading: place === 0,
      numeric: shown.rows.some((row) => "number" in row[place]),
      format: (one, row) => (place === 0 ? firstCell(found, shown, row) : cellOf(one)),
    }));
    const same = shown.title === found.title;
    const made = [table({caption: same ? `Table of ${found.title} (${found.name})` : shown.title, hideCaption: same, columns, rows: shown.rows})];
    if (shown.notes.length) made.push(el("ul", {class: "muted small legend"}, shown.notes.map((one) => el("li", {}, one))));
    return made;
  }

  function state(found) {
    const finished = found.runs.filter((run) => run.state === "finished").length;
    if (!found.runs.length) return null;
    const text = finished === found.runs.length ? `${finished === 1 ? "Its one run has" : `All ${format.integer(finished)} runs have`} finished.` : `${format.integer(finished)} of ${format.integer(found.runs.length)} runs have finished; the tables come when all have.`;
    return el("p", {class: "muted small"}, text);
  }

  function runList(found) {
    if (!found.runs.length) return null;
    const columns = [
      {key: "label", label: "row", heading: true, format: (label, run) => linked(label, run.report)},
      {key: "seed", label: "seed", numeric: true},
      {key: "state", label: "state"},
      {key: "folder", label: "folder", format: (folder) => el("code", {}, folder)},
    ];
    return el("details", {"data-key": "runs"}, el("summary", {}, "The runs"), table({caption: `Runs of ${found.title} (${found.name})`, hideCaption: true, columns, rows: found.runs}));
  }

  function renderTables(container, found) {
    const costs = found.costs.map((one) => el("details", {"data-key": "costs"}, el("summary", {}, "What each run cost"), tableOf(found, one)));
    container.append(...[notes(found.notes, "Not all of this comparison is there."), state(found)].filter(Boolean));
    for (const one of found.tables) container.append(...tableOf(found, one));
    charts(container, found.charts);
    for (const one of found.cases) container.append(...cases(one));
    container.append(...[...costs, runList(found)].filter(Boolean));
  }

  // ---- cases ----

  const written = (text) => el("p", {class: "written"}, text || "(nothing)");
  const answer = (value) => `Answer: ${value === null || value === undefined ? "none that can be read" : value}`;

  function solution(title, one) {
    return one ? [el("h5", {}, title), written(one.rationale), el("p", {}, answer(one.answer))] : null;
  }

  function isShown(attempt, correction) {
    const mistake = correction && correction.mistake;
    return Boolean(mistake) && attempt.rationale === mistake.rationale && attempt.answer === mistake.answer;
  }

  function caseOf(one) {
    const attempts = one.before || [];
    const right = attempts.filter((attempt) => attempt.correct).length;
    const before = attempts.find((attempt) => isShown(attempt, one.correction)) || attempts[0];
    const teacher = one.correction ? `The teacher (${one.correction.teacher}${one.correction.mistake ? "" : ", not shown the attempt"})` : "";
    const choices = (one.question.choices || []).map((text, place) => el("li", {}, `(${String.fromCharCode(97 + place)}) ${text}`));
    return el("details", {class: "case"}, el("summary", {}, one.question.id),
      written(one.question.text), choices.length ? el("ul", {}, choices) : null, el("p", {}, `Right answer: ${one.question.answer}`),
      solution(`Before: ${right} of ${attempts.length} attempts right`, before),
      solution(teacher, one.correction),
      solution(`Afterwards: ${one.after.correct ? "right" : "wrong"}`, one.after));
  }

  function cases(found) {
    const heading = el("h3", {}, `Cases: ${found.label}, seed ${found.seed}`);
    if (!found.studies) return [heading, el("pre", {class: "written", tabindex: "0"}, found.text)];
    return [heading, ...found.studies.flatMap((study) => [
      el("h4", {}, study.title),
      el("p", {class: "muted small"}, `Picked by rule: ${study.rule}. ${format.integer(study.turned)} of ${format.integer(study.looked_at)} questions turned; ${format.integer(study.cases.length)} shown.`),
      ...study.cases.map(caseOf),
    ])];
  }

  // ---- sections: the runs', and one for each comparison that is in the page ----

  tutelage.section(RUNS, {title: "The runs compared", render: renderRuns});
  const names = [...document.querySelectorAll(`[id^="${TABLES}"]`)].map((node) => node.id.replace("data-", ""));
  const titles = names.map((name) => tutelage.data(name).title);
  for (const [place, name] of names.entries()) {
    const shared = titles.filter((title) => title === titles[place]).length > 1;
    tutelage.section(name, {title: shared ? `${titles[place]} (${tutelage.data(name).name})` : titles[place], render: renderTables});
  }
})();
