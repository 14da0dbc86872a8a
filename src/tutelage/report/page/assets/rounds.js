/* What happened round by round: exam, teacher and lesson as a table, the study's curves, what became of the replies. */
"use strict";

(() => {
  const {el, format, table, chart, NOTHING, UNKNOWN} = tutelage;
  const STAGES = ["exam", "mistakes", "feedback", "lesson", "study", "evaluation"];

  const number = (key, label, one = format.integer) => ({key, label, numeric: true, format: (value) => one(value)});

  /* By the round's summary where that tells, else by the ledger, which knows that a teacher on this machine costs nothing. */
  function tokens(feedback, cost) {
    const known = [feedback.prompt_tokens, feedback.completion_tokens].filter((one) => one !== null && one !== undefined);
    if (known.length) return format.integer(known.reduce((sum, one) => sum + one, 0));
    return cost && cost.free ? "not counted" : UNKNOWN;
  }

  function name(one) {
    return el("span", {}, one.round === 0 ? "0, untrained" : String(one.round), one.kept ? el("span", {class: "muted"}, " (kept)") : null);
  }

  function line(one) {
    const summary = one.summary || {};
    const exam = summary.exam || {};
    const feedback = summary.feedback;
    const asked = feedback || {};
    return {
      class_: one.kept ? "kept" : null,
      round: name(one),
      test: one.evaluation ? one.evaluation.accuracy : null,
      interval: one.evaluation ? one.evaluation.interval : null,
      held_out: one.evaluation && one.evaluation.held_out && one.evaluation.held_out.total ? one.evaluation.held_out.accuracy : null,
      error_rate: exam.error_rate, mistakes: exam.mistakes,
      requests: asked.requests, successes: asked.successes, rationales: asked.rationales,
      tokens: feedback ? tokens(feedback, one.cost) : NOTHING,
      money: feedback ? feedback.cost ?? (one.cost && one.cost.money) ?? UNKNOWN : NOTHING,
    };
  }

  const COURSE = [
    {key: "round", label: "round", heading: true},
    number("test", "test accuracy", format.percent),
    number("interval", "95 % interval", (pair) => format.interval(pair)),
    number("held_out", "held out", format.percent),
    number("error_rate", "exam wrong", format.percent),
    number("mistakes", "mistakes"),
    number("requests", "requests"),
    number("successes", "successes"),
    number("rationales", "rationales"),
    {key: "tokens", label: "tokens", numeric: true},
    {key: "money", label: "money", numeric: true},
  ];

  function studied(one, lambda) {
    const summary = one.summary || {};
    const study = summary.study || {};
    const lesson = summary.lesson || {};
    return {round: name(one), class_: one.kept ? "kept" : null, samples: lesson.samples, own: lesson.own, variants: lesson.variants, triplets: lesson.triplets, steps: study.steps,
      lm_loss: study.lm_loss, triplet_loss: study.triplet_loss, lambda, learning_rate: one.learning_rate};
  }

  const STUDY = [
    {key: "round", label: "round", heading: true},
    number("samples", "samples"),
    number("own", "of them its own"),
    number("variants", "of them with other numbers"),
    number("triplets", "triplets"),
    number("steps", "steps"),
    number("lm_loss", "LM loss", format.number),
    number("triplet_loss", "triplet loss", format.number),
    number("lambda", "λ", format.small),
    number("learning_rate", "learning rate", format.small),
  ];

  function timeTable(rounds) {
    const stages = [...new Set([...STAGES, ...rounds.flatMap((one) => Object.keys(one.seconds))])].filter((stage) => rounds.some((one) => stage in one.seconds));
    if (!stages.length) return null;
    const rows = rounds.map((one) => ({...one.seconds, round: name(one), class_: one.kept ? "kept" : null}));
    const cut = rounds.reduce((sum, one) => sum + one.interrupted, 0);
    return [
      table({caption: "How long each stage took", rows, columns: [{key: "round", label: "round", heading: true}, ...stages.map((stage) => number(stage, stage, format.seconds))]}),
      cut ? el("p", {class: "muted small"}, `${cut} stages were begun and never ended, or have not ended yet; their seconds are not in it.`) : null,
    ].filter(Boolean);
  }

  function curveRows(rounds, key) {
    return rounds.filter((one) => one.training).flatMap((one) => {
      const columns = one.training.columns;
      return columns.step.map((step, place) => ({of: `round ${one.round}`, step, value: columns[key][place]})).filter((row) => row.value !== null && row.step !== null);
    });
  }

  const CURVES = [
    ["lm_loss", "loss", "Language-model loss"],
    ["triplet_loss", "loss", "Triplet loss"],
    ["gradient_norm", "small", "Gradient norm, before clipping"],
    ["learning_rate", "small", "Learning rate"],
  ];

  function curves(container, rounds) {
    const drawn = rounds.filter((one) => one.training);
    if (!drawn.length) return;
    container.append(el("h3", {}, "Study"));
    const thinned = drawn.filter((one) => one.training.shown < one.training.steps);
    if (thinned.length) {
      const said = thinned.map((one) => `${format.integer(one.training.shown)} of ${format.integer(one.training.steps)} steps of round ${one.round}`).join(", ");
      container.append(el("p", {class: "muted small"}, `The curves show ${said}; all are in training.jsonl.`));
    }
    const grid = el("div", {class: "charts"});
    container.append(grid);
    for (const [key, spec, caption] of CURVES) {
      const rows = curveRows(rounds, key);
      if (rows.length) chart(grid, spec, {rows, caption, file: key.replaceAll("_", "-"), label: `${caption} over the steps of ${drawn.map((one) => `round ${one.round}`).join(", ")}`});
    }
  }

  function verdicts(container, rounds) {
    const rows = rounds.flatMap((one) => Object.entries(((one.summary || {}).feedback || {}).verdicts || {}).map(([verdict, replies]) => ({of: `round ${one.round}`, verdict, replies})));
    if (!rows.length) return;
    container.append(el("h3", {}, "What became of the teacher's replies"));
    const words = rows.map((row) => `${row.of}: ${row.replies} ${row.verdict}`).join("; ");
    chart(container, "verdicts", {rows, file: "replies", height: 26 * rows.length + 14, label: `Replies of the teacher by what became of them. ${words}`});
  }

  /* What the tables take for granted, for who sees them for the first time. */
  const WORDS = [
    ["held out", "accuracy on training questions that were kept back from study. It decides which round is kept and when to stop."],
    ["exam wrong", "the share of the student's attempts at training questions, before the round's study, that were wrong or gave no answer."],
    ["mistakes", "the different wrong attempts among these."],
    ["requests", "questions that the teacher was asked to explain. In round 1 it is asked all of them, later those with mistakes."],
    ["successes", "requests with at least one reply that was right and kept."],
    ["rationales", "the teacher's worked solutions that were kept for study."],
    ["tokens, money", "what the teacher read and wrote in the round, and what that cost."],
    ["samples, triplets", "what was studied; a triplet is a right solution with another right one and a mistake of the student's own."],
    ["LM loss, triplet loss", "how unlikely the student finds the right solutions, and how badly it tells right from wrong; lower is better."],
    ["λ", "the weight of the triplet loss beside the LM loss."],
  ];

  function glossary() {
    return el("details", {"data-key": "words"}, el("summary", {}, "What these words mean"),
      el("dl", {class: "words"}, WORDS.flatMap(([word, meaning]) => [el("dt", {}, word), el("dd", {}, meaning)])));
  }

  function render(container, found) {
    container.append(table({caption: "Each round's student after its study, and what went into it", rows: found.rounds.map(line), columns: COURSE}), glossary());
    verdicts(container, found.rounds);
    curves(container, found.rounds);
    const later = found.rounds.filter((one) => one.summary);
    if (later.length) container.append(table({caption: "The studies; losses are means over the last epoch", rows: later.map((one) => studied(one, found.lambda)), columns: STUDY.filter((one) => !["own", "variants"].includes(one.key) || later.some((round) => round.summary.lesson && round.summary.lesson[one.key]))}));
    const times = timeTable(found.rounds);
    if (times) container.append(el("h3", {}, "Time"), ...times);
  }

  tutelage.section("rounds", {title: "Rounds", render});
})();
