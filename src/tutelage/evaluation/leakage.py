"""How much of the test's questions stands in what a run learns from: n-gram overlap, and duplicates.

Brown et al. 2020 (GPT-3, appendix C) look for n-grams of 8 to 13 words; Chowdhery et al. 2022 (PaLM, section 8) for
8-grams, and take a question for known from 70 % of them on. Words are those that `question_key` compares, so case,
punctuation and white space do not count; numbers do: with other numbers a word problem is another question, though
its template is the same. Therefore both are counted, shared n-grams and questions that are the same but for numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.records import Demonstration, Question, SplitName
from tutelage.tasks.split import key_parts, question_key

NGRAM = 8
"""Words of an n-gram; a shorter question is one n-gram as a whole."""
MOST = 0.7
"""Share of its n-grams from which on a question counts as known (Chowdhery et al. 2022)."""
WORST = 10
"""Test questions that are named of each source."""

Words = tuple[str, ...]
_NUMBER = "0"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the test questions. share: of all of them, a fraction of 1."""

    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Match:
    """A test question that stands in a source in part. text_id: where most of it was found first.

    shared: the fraction of its n-grams that the source holds anywhere.
    """

    question_id: str
    text_id: str
    shared: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """The test questions that stand, in part or as a whole, in the texts of one source.

    same_ngram: those that share any n-gram with it. most_ngrams: of whose n-grams it holds at least `MOST`.
    same_but_for_numbers: all of whose words stand in one of its texts in a row, with any numbers for their numbers.
    same_question: with their own numbers. worst: whole questions first, then by what they share.
    """

    texts: int
    same_ngram: Part
    most_ngrams: Part
    same_but_for_numbers: Part
    same_question: Part
    worst: tuple[Match, ...]


class QuestionIndex:
    """The test's questions, indexed to be looked for in any number of texts. ngram: words of an n-gram."""

    def __init__(self, questions: Sequence[Question], ngram: int = NGRAM) -> None:
        self.questions = questions
        self.words = [_words(question.text) for question in questions]
        self.masked = [_masked(words) for words in self.words]
        self.ngrams = [_ngrams(words, ngram) for words in self.words]
        self._wanted = {gram for grams in self.ngrams for gram in grams}
        self._wanted_lengths = _lengths(self._wanted)
        # Whole questions are looked for where their first n-gram stands.
        self._heads: dict[Words, set[Words]] = defaultdict(set)
        for masked in self.masked:
            self._heads[masked[:ngram]].add(masked)
        self._head_lengths = _lengths(self._heads)
        self._whole = set(self.words)

    def look(self, texts: Iterable[tuple[str, str]]) -> Overlap:
        """What of the questions stands in a source. texts: ids and texts; takes a second for 10 thousand questions."""
        found = _Found()
        for text_id, text in texts:
            if text.strip():
                found.texts += 1
                self._look_through(text_id, _words(text), found)
        return self._overlap(found)

    def _look_through(self, text_id: str, words: Words, found: _Found) -> None:
        masked = _masked(words)
        for place, word in enumerate(words):
            for length in self._wanted_lengths.get(word, ()):
                gram = words[place : place + length]
                if gram in self._wanted:
                    found.ngrams.setdefault(gram, text_id)
            for length in self._head_lengths.get(masked[place], ()):
                for question in self._heads.get(masked[place : place + length], ()):
                    end = place + len(question)
                    if masked[place:end] == question:
                        found.templates.setdefault(question, text_id)
                        if words[place:end] in self._whole:
                            found.wholes.setdefault(words[place:end], text_id)

    def _overlap(self, found: _Found) -> Overlap:
        total = len(self.questions)
        shares = [len(grams & found.ngrams.keys()) / len(grams) for grams in self.ngrams]

        def part(which: Iterable[bool]) -> Part:
            count = sum(which)
            return Part(count, count / total if total else 0.0)

        wholes = [words in found.wholes for words in self.words]
        templates = [masked in found.templates for masked in self.masked]
        order = sorted(range(total), key=lambda place: (wholes[place], templates[place], shares[place]), reverse=True)
        return Overlap(
            found.texts,
            same_ngram=part(share > 0 for share in shares),
            most_ngrams=part(share >= MOST for share in shares),
            same_but_for_numbers=part(templates),
            same_question=part(wholes),
            worst=tuple(
                Match(self.questions[place].id, self._place_of(place, found), round(shares[place], 4))
                for place in order[:WORST]
                if shares[place] or templates[place]
            ),
        )

    def _place_of(self, place: int, found: _Found) -> str:
        """The text that holds the whole question, or as much of it as any."""
        whole = found.wholes.get(self.words[place]) or found.templates.get(self.masked[place])
        if whole is not None:
            return whole
        held = Counter(found.ngrams[gram] for gram in self.ngrams[place] if gram in found.ngrams)
        return min(held, key=lambda text_id: (-held[text_id], text_id))


@dataclass
class _Found:
    """What was found in a source so far, each with the id of the first text that holds it."""

    texts: int = 0
    ngrams: dict[Words, str] = field(default_factory=dict)
    templates: dict[Words, str] = field(default_factory=dict)
    wholes: dict[Words, str] = field(default_factory=dict)


def _words(text: str) -> Words:
    return tuple(key_parts(text)) or (text.strip(),)


def _masked(words: Words) -> Words:
    return tuple(_NUMBER if word[:1].isdecimal() else word for word in words)


def _ngrams(words: Words, size: int) -> frozenset[Words]:
    return frozenset(words[start : start + size] for start in range(max(1, len(words) - size + 1)))


def _lengths(grams: Iterable[Words]) -> dict[str, tuple[int, ...]]:
    """By its first word, how long an n-gram can be: one length for all but the shortest questions."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for gram in grams:
        lengths[gram[0]].add(len(gram))
    return {word: tuple(sorted(seen)) for word, seen in lengths.items()}


def question_overlaps(
    questions: Mapping[SplitName, Sequence[Question]],
    demonstrations: Sequence[Demonstration],
    feedback_demonstrations: Sequence[Demonstration],
) -> dict[str, Overlap]:
    """What of the test's questions stands in all that a run has before it begins, by the name of the source."""
    tested = QuestionIndex(questions["test"])
    named: dict[str, Iterable[tuple[str, str]]] = {
        "training_questions": ((question.id, question.text) for question in questions["train"]),
        "held_out_questions": ((question.id, question.text) for question in questions["held-out"]),
        "student_demonstrations": _demonstration_texts(demonstrations),
        "teacher_demonstrations": _demonstration_texts(feedback_demonstrations),
    }
    return {name: tested.look(texts) for name, texts in named.items()}


def _demonstration_texts(demonstrations: Sequence[Demonstration]) -> Iterable[tuple[str, str]]:
    for number, demo in enumerate(demonstrations, start=1):
        yield f"demonstration {number}", "\n".join([demo.question, demo.rationale, demo.wrong_rationale or ""])


def overlap_text(overlaps: Mapping[str, Overlap], tested: int) -> str | None:
    """One line on the sources that hold something of the test's questions; None if none does."""
    told = [f"in {name.replace('_', ' ')} {_told(overlap)}" for name, overlap in overlaps.items() if overlap.worst]
    return f"Note: of {tested} test questions there stand {'; '.join(told)}" if told else None


def _told(overlap: Overlap) -> str:
    counts = (
        (overlap.same_question.count, "{} word for word"),
        (overlap.same_but_for_numbers.count, "{} but for their numbers"),
        (overlap.same_ngram.count, f"{NGRAM} words in a row of {{}}"),
    )
    return ", ".join(said.format(count) for count, said in counts if count)


def duplicates(train: Iterable[Question], test: Iterable[Question]) -> list[tuple[str, str]]:
    """The pairs of a training and a test question, by id, that are the same one: see `question_key`."""
    tested: dict[str, list[str]] = defaultdict(list)
    for question in test:
        tested[question_key(question.text, question.choices)].append(question.id)
    return [
        (question.id, other)
        for question in train
        for other in tested.get(question_key(question.text, question.choices), ())
    ]
