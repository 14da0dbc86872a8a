/* Did it work: the sentence, the chart of accuracy by round, the gap to the teacher, what it cost, where it stands. */
"use strict";

(() => {
  const {el, format, table, chart} = tutelage;

  function missing(about) {
    const notes = [
      ...(about.missing || []).map((one) => el("li", {}, el("code", {}, one.file), ` is ${one.state}. ${one.why}`)),
      ...(about.failed || []).map((one) => el("li", {}, `The section “${one.section}” could not be made: ${one.why}`)),
    ];
    if (!notes.length) return null;
    return el("div", {class: "note"}, el("strong", {}, "Not all of this run could be read."), el("ul", {}, notes));
  }

  const hasTeacher = (found) => Boolean(found.teacher) && tutelage.isNumber(found.teacher.accuracy);

  function accuracyRows(found) {
    const row = (split, one, score) => ({split, round: one.round, accuracy: score.accuracy,
      low: score.interval ? score.interval[0] : null, high: score.interval ? score.interval[1] : null, right: score.correct ?? null, total: score.total ?? null});
    const rows = found.accuracy.flatMap((one) => [
      row("test", one, one.test),
      ...(one.held_out ? [row("held out", one, one.held_out)] : []),
    ]);
    if (hasTeacher(found)) rows.push(row("teacher", {round: null}, found.teacher));
    return rows;
  }

  const COLUMNS = [
    {key: "split", label: "questions", heading: true},
    {key: "round", label: "round", numeric: true},
    {key: "accuracy", label: "accuracy", numeric: true, format: format.percent},
    {key: "low", label: "95 % interval", numeric: true, format: (low, row) => (low === null ? tutelage.NOTHING : format.interval([low, row.high]))},
    {key: "right", label: "right", numeric: true, format: format.integer},
    {key: "total", label: "of", numeric: true, format: format.integer},
  ];

  function fact(label, big, ...more) {
    return el("div", {}, el("dt", {}, label), el("dd", {class: "big"}, big), more.filter(Boolean).map((one) => el("dd", {class: "more"}, one)));
  }

  function tokens(cost) {
    const teacher = cost.teacher;
    if (!teacher) return ["none yet", "The teacher has not been asked."];
    const more = [`${format.integer(teacher.requests)} requests`];
    if (teacher.unknown) more.push(`${format.integer(teacher.unknown)} calls do not say: a lower bound`);
    if (teacher.from_cache) more.push(`${format.integer(teacher.from_cache)} replies that another run paid for are not in it`);
    if (cost.free && teacher.tokens === null) return ["not counted", ...more, "The teacher is not behind a network."];
    return [teacher.tokens === null ? tutelage.UNKNOWN : format.integer(teacher.tokens), ...more];
  }

  function money(cost) {
    const teacher = cost.teacher;
    if (!teacher) return ["none yet"];
    const more = [Number(teacher.maybe_money) ? `perhaps ${teacher.maybe_money} more` : null, cost.free ? null : "in the unit of the teacher's prices"];
    return teacher.money === null ? [tutelage.UNKNOWN, "No price is known."] : [teacher.money, ...more];
  }

  function stands(found) {
    const where = found.stands;
    if (where.state === "finished") {
      const outcome = found.outcome || {};
      return ["finished", `after round ${where.round ?? "?"} (${outcome.reason || "no reason is told"})`];
    }
    if (where.round === null) return ["just begun"];
    return ["not finished", `It was last in round ${where.round}, ${where.stage}.`];
  }

  function keptText(found) {
    if (found.kept === null) return ["none yet"];
    const name = found.kept === 0 ? "the untrained student" : `round ${found.kept}`;
    return [name, found.outcome ? "the best on the held-out questions" : "the best on the held-out questions so far"];
  }

  function facts(found) {
    const kept = found.accuracy.find((one) => one.kept);
    const list = [];
    if (kept) list.push(fact("Test accuracy of the kept round", format.percent(kept.test.accuracy), `95 % interval ${format.interval(kept.test.interval)}`, `${format.integer(kept.test.correct)} of ${format.integer(kept.test.total)} right`));
    if (found.gap_closed !== null) list.push(fact("Gap to the teacher closed", format.percent(found.gap_closed), `the teacher has ${format.percent(found.teacher.accuracy)}`));
    else if (hasTeacher(found)) list.push(fact("The teacher's own accuracy", format.percent(found.teacher.accuracy), "not above the untrained student: there is no gap to close"));
    else if (found.teacher && found.teacher.reason) list.push(fact("The teacher's own accuracy", "none", found.teacher.reason));
    list.push(fact("Kept", ...keptText(found)));
    const now = tutelage.data("status");
    if (!now || (now.state === "finished" && !tutelage.data("watch"))) list.push(fact("Now", ...stands(found))); // else live.js says it
    list.push(fact("Teacher's tokens", ...tokens(found.cost)), fact("Teacher's money", ...money(found.cost)));
    list.push(fact("Time", format.seconds(total(found.cost.time.stages)), found.cost.time.interrupted ? `${found.cost.time.interrupted} interrupted stages are not in it` : null));
    return el("dl", {class: "facts"}, list);
  }

  function total(stages) {
    const seconds = Object.values(stages);
    return seconds.length ? seconds.reduce((sum, one) => sum + one, 0) : null;
  }

  function setting(facts_) {
    const split = facts_.questions;
    const parts = [
      facts_.task && ["task", facts_.task],
      facts_.student && ["student", facts_.student],
      facts_.first_teacher && ["teacher of round 1", facts_.first_teacher],
      facts_.teacher_kind && ["teacher", facts_.teacher ? `${facts_.teacher} (${facts_.teacher_kind})` : facts_.teacher_kind],
      split && ["questions", `${format.integer(split.train)} to learn from, ${format.integer(split["held-out"])} held out, ${format.integer(split.test)} to test on`],
    ].filter(Boolean);
    return el("p", {class: "muted small"}, parts.map(([name, value], place) => [place ? " · " : "", `${name}: `, value]));
  }

  function flat(value, name = "") {
    if (value === null || typeof value !== "object") return [{name, value: value === null ? tutelage.NOTHING : value}];
    const entries = Object.entries(value);
    if (!entries.length) return [{name, value: "none"}];
    return entries.flatMap(([key, one]) => flat(one, name ? `${name}.${key}` : key));
  }

  function provenance(found) {
    const parts = [];
    if (found.environment) {
      parts.push(table({caption: "What the run was made with (environment.json)", rows: flat(found.environment),
        columns: [{key: "name", label: "what", heading: true}, {key: "value", label: "value"}]}));
    }
    if (found.leakage && found.leakage.sources) parts.push(leakage(found.leakage));
    if (!parts.length) return null;
    return el("details", {"data-key": "provenance"}, el("summary", {}, "Provenance, and whether the test leaked into the training"), parts);
  }

  function leakage(found) {
    const share = (one) => (one ? `${format.integer(one.count)} (${format.percent(one.share)})` : tutelage.NOTHING);
    const rows = Object.entries(found.sources).map(([name, one]) => ({name: name.replaceAll("_", " "), ...one}));
    return table({
      caption: `Test questions, of ${format.integer(found.test_questions)}, that share words with what was learned from (leakage.json; n-grams of ${found.ngram} words)`,
      rows,
      columns: [
        {key: "name", label: "source", heading: true},
        {key: "texts", label: "texts", numeric: true, format: format.integer},
        {key: "same_question", label: "the same question", numeric: true, format: share},
        {key: "same_but_for_numbers", label: "the same but for numbers", numeric: true, format: share},
        {key: "same_ngram", label: "an n-gram in common", numeric: true, format: share},
        {key: "most_ngrams", label: "most n-grams in common", numeric: true, format: share},
      ],
    });
  }

  function render(container, found) {
    const note = missing(tutelage.data("about") || {});
    if (note) container.append(note);
    container.append(el("p", {class: `verdict ${found.verdict.outcome.replace(" ", "-")}`}, found.verdict.sentence, found.verdict.tested ? " " : null, found.verdict.tested ? el("span", {class: "under"}, found.verdict.tested) : null), setting(found.facts));
    if (found.accuracy.length) {
      chart(container, hasTeacher(found) ? "accuracy_and_teacher" : "accuracy", {rows: accuracyRows(found), file: "accuracy", columns: COLUMNS,
        caption: "Accuracy by round, with 95 % intervals on the test",
        label: `Accuracy by round: ${found.accuracy.map((one) => `round ${one.round} ${format.percent(one.test.accuracy)}`).join(", ")} on the test questions`});
    }
    container.append(facts(found));
    const made = provenance(found);
    if (made) container.append(made);
  }

  tutelage.section("overview", {title: "Did it work?", render});
})();
