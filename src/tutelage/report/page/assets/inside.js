/* Inside the student: how far apart right and wrong reasoning lie, which it finds likelier, and a picture of both. */
"use strict";

(() => {
  const {el, format, table, chart} = tutelage;

  const MEASURES = [
    ["distance", "distance", (value) => format.number(value)],
    ["cosine", "cosine", (value) => format.number(value)],
    ["preference", "prefers the right one", format.percent],
    ["preference_per_token", "prefers it per token", format.percent],
  ];

  const name = (one) => (one.round === 0 ? "untrained" : `after round ${one.round}`);

  function cell(estimate, write) {
    if (!estimate || estimate.value === undefined) return tutelage.NOTHING;
    return el("span", {}, write(estimate.value), el("span", {class: "under"}, format.interval(estimate.interval, write)));
  }

  function render(container, found) {
    if (!found.students.length) {
      container.append(el("p", {class: "muted"}, "Not read yet, since it takes the student and about a minute: ", el("code", {}, found.command)));
      return;
    }
    const first = found.students[0];
    container.append(el("p", {}, `${format.integer(first.separation.pairs)} pairs of a right and a wrong solution of ${first.split || "the same"} questions that no student was trained on, read by the student before and after. `,
      el("span", {class: "muted"}, "Distance and cosine are between the last hidden states; the student prefers the solution that it finds likelier. Below each number its 95 % interval.")));
    const rows = found.students.map((one) => ({student: name(one), pairs: one.separation.pairs, ...one.separation}));
    container.append(table({caption: "Right against wrong reasoning", rows, columns: [
      {key: "student", label: "student", heading: true},
      {key: "pairs", label: "pairs", numeric: true, format: format.integer},
      ...MEASURES.map(([key, label, write]) => ({key, label, numeric: true, format: (value) => cell(value, write)})),
    ]}));
    const grid = el("div", {class: "charts"});
    container.append(grid);
    for (const one of found.students) {
      if (!one.points.length) continue;
      chart(grid, "states", {rows: one.points, file: `states-round-${one.round}`, caption: `Hidden states, ${name(one)} (t-SNE)`,
        label: `Hidden states of right and wrong solutions in two dimensions, ${name(one)}: ${one.points.length} points; the axes have no unit`});
    }
    if (found.students.some((one) => one.note)) container.append(el("p", {class: "muted small"}, found.students.map((one) => one.note).find(Boolean)));
  }

  tutelage.section("inside", {title: "Inside the student", render});
})();
