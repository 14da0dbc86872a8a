"""Who corrects: what all teachers have in common, and what each kind of them needs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tutelage.config.section import Count, NotNegative, Price, Section, VariableName


class TeacherSettings(Section):
    """What every teacher has in common (Table 9).

    feedback: whether later rounds show the teacher the student's mistake (Table 3 compares).
    replies: asked for per request. rationales: unique ones kept per question (A.2).
    hard_replies: asked for per request about a question of which the student got no attempt of the round's exam right;
        up to the larger of it and `rationales` are kept then. None: as for the others.
    prefer: which of a question's unique right replies are kept where there are more of them than may be: the "first",
        or the "shortest" by the student's tokens.
    drop_leaks: whether a right reply that speaks of the hint or of the mistake is left out of the lesson.
    drop_wrong_steps: whether a right reply with an equation that does not hold is left out: a small teacher that is
        told the answer may bend its arithmetic to it.
    drop_unfounded: whether a right reply is left out whose answer does not come from the question's numbers by its own
        equations: told the answer, a small teacher may write it behind any reasoning. Of tasks with numbers alone.
    """

    feedback: bool = True
    replies: PositiveInt = 4
    rationales: PositiveInt = 4
    hard_replies: PositiveInt | None = None
    prefer: Literal["first", "shortest"] = "first"
    drop_leaks: bool = True
    drop_wrong_steps: bool = False
    drop_unfounded: bool = False


class SampledTeacherSettings(TeacherSettings):
    """A teacher that is a language model.

    endpoint: "chat" sends messages, "completion" one text that the model continues.
    """

    model: str
    endpoint: Literal["chat", "completion"] = "chat"
    temperature: NotNegative = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_new_tokens: PositiveInt = 128


class PriceSettings(Section):
    """Decimals per million tokens, in whatever money the caps are in; at most six digits behind the point.

    cached_input: of tokens that the endpoint says it had cached; None: as `input`. batch_input, batch_output: by the
    batch API; None: half of `input` and `output`, as the OpenAI service asks.
    """

    input: Price
    output: Price
    cached_input: Price | None = None
    batch_input: Price | None = None
    batch_output: Price | None = None


class BudgetSettings(Section):
    """Caps of a whole run; None is no cap. They count what may have been paid, too: the worst case where none knows.

    money: in the prices' money. tokens: prompts' and replies'. requests: HTTP requests, repeated ones included.
    """

    money: Annotated[Decimal, Field(gt=0)] | None = None
    tokens: PositiveInt | None = None
    requests: PositiveInt | None = None


class OpenAITeacherSettings(SampledTeacherSettings):
    """Any OpenAI-compatible endpoint.

    base_url: None takes the OpenAI service (or OPENAI_BASE_URL). api_key_env: the environment variable
    that holds the key, api_key_file: a file that does; the key itself never stands in a recipe.
    road: "direct" sends each request and waits; "batch" hands them in by the batch API: half the price, within a day.
    concurrency: most requests at a time; fewer while the server asks for it. requests_per_minute, tokens_per_minute:
    limits of the account; None: as the server's replies say.
    connect_seconds, timeout_seconds: for a connection, and for a whole reply. retries: of one that failed in passing.
    thinking_tokens: what a reasoning model may think on top of `max_new_tokens`.
    budget: caps. price: None takes the package's table. cache: an SQLite file of replies that runs share.
    tokenizer: the teacher's, a hub id or a folder, for estimates alone; None counts words, numbers and signs.
    """

    kind: Literal["openai"]
    base_url: str | None = None
    api_key_env: VariableName = "OPENAI_API_KEY"
    api_key_file: Path | None = None
    road: Literal["direct", "batch"] = "direct"
    concurrency: PositiveInt = 64
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    connect_seconds: PositiveFloat = 10.0
    timeout_seconds: PositiveFloat = 120.0
    retries: Count = 5
    thinking_tokens: Count = 0
    budget: BudgetSettings = BudgetSettings()
    price: PriceSettings | None = None
    cache: Path | None = None
    tokenizer: str | None = None


class LocalTeacherSettings(SampledTeacherSettings):
    """A model in this process; `model` as in StudentSettings, `batch_size` as in ExamSettings."""

    kind: Literal["local"]
    revision: str | None = None
    device: str = "auto"
    batch_size: PositiveInt | None = None


class RecordedTeacherSettings(TeacherSettings):
    """Replies recorded earlier, replayed: it does not see the student's mistakes.

    files: JSONL (gzipped too) with `question` and `rationale`, names or patterns such as
        "teacher_pool/svamp__*.jsonl.gz", looked up in the working folder and then in task.data;
        empty takes the task's own worked solutions.
    name: who wrote them, for the run's records.
    """

    kind: Literal["recorded"]
    files: tuple[Path, ...] = ()
    name: str | None = None


class TutorTeacherSettings(TeacherSettings):
    """The offline tutor: a rule-based stand-in that corrects from a row's worked solution."""

    kind: Literal["tutor"]


# None of them costs money by the call.
FreeTeacherSettings = LocalTeacherSettings | RecordedTeacherSettings | TutorTeacherSettings
AnyTeacherSettings = Annotated[OpenAITeacherSettings | FreeTeacherSettings, Field(discriminator="kind")]
