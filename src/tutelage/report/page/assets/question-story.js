/* One question's course as a story: a timeline of exams, requests to the teacher, and lessons. */
"use strict";

(() => {
  const {el} = tutelage;

  /* A text as it is, but for marks that steer a terminal or turn the direction of what stands around them. */
  function visible(text) {
    return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (mark) => {
      const code = mark.charCodeAt(0).toString(16);
      return mark === "\r" ? "" : code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    });
  }

  const words = (text) => el("bdi", {}, visible(text));
  const count = (number, noun) => `${tutelage.format.integer(number)} ${noun}${number === 1 ? "" : "s"}`;

  function badge(right, text) {
    return el("span", {class: right ? "q-right" : "q-wrong"}, el("span", {"aria-hidden": "true"}, right ? "✓ " : "✗ "), text);
  }

  /* What a model or a teacher wrote. */
  const said = (value, ...classes) => el("div", {class: ["q-said", ...classes].join(" "), dir: "auto"}, visible(value) || "(nothing)");

  /* Entries of the timeline, in order. index: the section's data, for what all stories share. */
  function timeline(row, story, index) {
    const last = Math.max(0, ...Object.keys(story.answers).map(Number), ...Object.keys(story.rounds).map(Number));
    const entries = [];
    for (let number = 0; number <= last; number += 1) {
      const taught = story.rounds[number];
      if (taught) entries.push(teacherEntry(number, taught, story, index), lessonEntry(number, taught));
      if (story.answers[number]) entries.push(answersEntry(row, number, story));
    }
    if (!entries.length) entries.push(el("li", {}, "Nothing has been recorded about it yet."));
    else if (row.split === "train" && !story.answers[last]) {
      entries.push(el("li", {class: "q-end"}, el("p", {class: "muted"}, `The student of round ${last} sat no exam on it, so what it made of this lesson is not known.`)));
    }
    return entries;
  }

  function answersEntry(row, number, story) {
    const attempts = story.answers[number];
    const of = attempts.reduce((sum, one) => sum + one.times, 0);
    const right = attempts.reduce((sum, one) => sum + (one.right ? one.times : 0), 0);
    const what = row.split === "train" ? `Exam of round ${number + 1}` : `Evaluation of round ${number}`;
    const who = number === 0 ? "the untrained student" : `the student of round ${number}`;
    return el("li", {class: "q-entry", "data-key": `answers-${number}`},
      el("h3", {}, `${what}: ${who} `, badge(2 * right > of, of > 1 ? `${2 * right > of ? "right" : "wrong"}, ${right} of ${of} attempts right` : right ? "right" : "wrong")),
      el("ul", {class: "q-list"}, attempts.map(attempt)));
  }

  function attempt(one) {
    return el("li", {class: one.right ? "q-item q-good" : "q-item q-bad"},
      el("p", {class: "q-what"}, badge(one.right, one.right ? "right" : "wrong"), ": ",
        one.answer === null ? "no answer could be read" : ["answer ", el("strong", {}, words(one.answer))],
        one.times > 1 ? el("span", {class: "muted"}, `, ${one.times} times in the same words`) : null,
        one.finished ? null : el("span", {class: "muted"}, ", cut off by the limit on its length"),
        one.shown ? el("span", {class: "q-tag"}, "shown to the teacher") : null),
      one.wrong ? marked(one) : said(one.text),
      one.wrong ? el("p", {class: "q-step"}, "First wrong step: ", words(one.wrong[1]), `; right is ${one.value}.`) : null,
      one.holds ? el("p", {class: "muted small"}, "Its arithmetic holds; it goes wrong elsewhere.") : null);
  }

  function marked(one) {
    const [before, wrong, after] = one.wrong;
    return el("div", {class: "q-said", dir: "auto"}, visible(before),
      el("mark", {}, el("span", {class: "hidden"}, "(first wrong step: "), visible(wrong), el("span", {class: "hidden"}, ")")), visible(after));
  }

  function teacherEntry(number, taught, story, index) {
    const heading = el("h3", {}, `Teacher in round ${number} `, taught.asked ? teacherBadge(taught) : "");
    if (!taught.asked) return el("li", {class: "q-entry"}, heading, el("p", {class: "muted"}, "It was not asked about this question."));
    const before = (story.answers[number - 1] || []).some((one) => one.shown);
    return el("li", {class: "q-entry", "data-key": `teacher-${number}`}, heading,
      taught.shown
        ? [el("p", {}, before ? "It was shown the attempt above that is marked “shown to the teacher”." : "It was shown this attempt:"), before ? null : said(taught.shown.text, "q-bad")]
        : el("p", {}, "It was shown the question and the right answer, and none of the student's attempts."),
      prompt(taught.prompt, number, index.shared),
      el("ul", {class: "q-list"}, taught.replies.map((one) => reply(one, index.verdicts))));
  }

  function teacherBadge(taught) {
    const kept = taught.replies.filter((one) => one.verdict === "kept").length;
    return badge(kept > 0, `${kept} of ${taught.replies.length} replies kept`);
  }

  function prompt(messages, number, shared) {
    if (!messages) return null;
    const told = messages.map(([role, pieces]) => [role, pieces.map((piece) => (typeof piece === "number" ? shared[piece] : piece)).join("\n\n")]);
    const length = told.reduce((sum, [, content]) => sum + content.length, 0);
    return el("details", {"data-key": `prompt-${number}`}, el("summary", {}, `The whole prompt: ${count(told.length, "message")}, ${count(length, "character")}`),
      told.map(([role, content]) => el("div", {class: "q-message"}, el("p", {class: "muted small"}, words(role)), said(content))));
  }

  function reply(one, verdicts) {
    const kept = one.verdict === "kept";
    return el("li", {class: kept ? "q-item q-good" : "q-item q-dropped"},
      el("p", {class: "q-what"}, badge(kept, one.verdict), ". ", el("span", {class: "muted"}, verdicts[one.verdict] || ""),
        one.answer === null ? null : [" Answer ", el("strong", {}, words(one.answer)), "."]),
      said(one.text));
  }

  const times = (number) => (number === 1 ? "once" : number === 2 ? "twice" : `${number} times`);

  function lessonEntry(number, taught) {
    const roles = (one) => ["anchor", "positive", "negative"].filter((role) => one[role]).map((role) => `${role} ${times(one[role])}`).join(", ");
    return el("li", {class: "q-entry", "data-key": `lesson-${number}`}, el("h3", {}, `Lesson of round ${number}`),
      taught.lesson.some((one) => one.negative) ? el("p", {class: "muted small"}, "The student studies each anchor, and draws it towards its positive and away from its negative, a mistake of its own.") : null,
      taught.lesson.length
        ? el("ul", {class: "q-list"}, taught.lesson.map((one) => el("li", {class: one.negative ? "q-item q-bad" : "q-item q-good"},
          el("p", {class: "q-what"}, badge(!one.negative, one.negative ? "to keep away from" : "to learn"), `: ${roles(one)}${one.own ? "; the student's own" : ""}${one.asked ? "; with other numbers" : ""}`), one.asked ? said(one.asked) : null, said(one.text))))
        : el("p", {class: "muted"}, "Nothing about this question was studied."));
  }

  tutelage.story = {visible, words, badge, count, said, timeline};
})();
