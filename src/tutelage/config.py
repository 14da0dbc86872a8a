"""The recipe: typed and frozen. recipes.py reads it from TOML.

A default that comes from the paper cites its table (arXiv 2310.13332).
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from tutelage.records import AnswerKind

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Price = Annotated[Decimal, Field(ge=0, decimal_places=6)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A part of the recipe: frozen, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


class TaskSettings(Section):
    """What is asked. `tutelage tasks` lists the names.

    data: folder of a public data set's original files; None loads it from the Hugging Face hub.
    file, kind: the user's own task (name "own"): a JSONL file and how its answers compare.
    train_rows, test_rows, options: sizes and difficulty of a generated task (reasoning-gym).
    held_out, held_out_minimum: share and least number of training questions set aside for the plateau.
    *_questions: use only so many questions of a split, drawn with the recipe's seed.
    """

    name: str
    data: Path | None = None
    file: Path | None = None
    kind: AnswerKind | None = None
    train_rows: PositiveInt | None = None
    test_rows: PositiveInt | None = None
    options: dict[str, int | float | bool | str] = {}
    held_out: Share = 0.1
    held_out_minimum: Count = 50
    train_questions: PositiveInt | None = None
    held_out_questions: PositiveInt | None = None
    test_questions: PositiveInt | None = None


class StudentSettings(Section):
    """Who learns.

    model: a Hugging Face hub id, a local folder, a .gguf file, or "package:NAME" for the one .gguf file
        that an installed Python package carries.
    device: "auto" takes a GPU where there is one.
    engine: what answers exams and evaluations; "vllm" needs `pip install tutelage[vllm]` and a GPU.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    engine: Literal["built-in", "vllm"] = "built-in"


class PromptSettings(Section):
    """How a question reads.

    demonstrations, feedback_demonstrations: JSON files of the user's own; None takes those of the package.
    count: how many demonstrations the student sees, the first ones; None takes all of them.
    chat: whether the student is asked in its own chat template: each demonstration as a user's and an assistant's
        turn, the question as the last user's. system: text of a system message before them.
    """

    demonstrations: Path | None = None
    feedback_demonstrations: Path | None = None
    count: Count | None = None
    chat: bool = False
    system: str | None = None

    @model_validator(mode="after")
    def _check_system(self) -> PromptSettings:
        if self.system is not None and not self.chat:
            raise ValueError("system is the text of a chat's system message, so it goes with chat = true")
        return self


class ExamSettings(Section):
    """How the student sits an exam (Table 9).

    batch_size: sequences generated at a time; None takes what suits the device and its memory.
    mistakes: unique ones kept per question (A.2).
    """

    attempts: PositiveInt = 4
    temperature: PositiveFloat = 1.0
    top_k: PositiveInt = 50
    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt | None = None
    mistakes: PositiveInt = 4


class TeacherSettings(Section):
    """What every teacher has in common (Table 9).

    feedback: whether later rounds show the teacher the student's mistake (Table 3 compares).
    replies: asked for per request. rationales: unique ones kept per question (A.2).
    drop_leaks: whether a right reply that speaks of the hint or of the mistake is left out of the lesson.
    """

    feedback: bool = True
    replies: PositiveInt = 4
    rationales: PositiveInt = 4
    drop_leaks: bool = True


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


AnyTeacherSettings = Annotated[
    OpenAITeacherSettings | LocalTeacherSettings | RecordedTeacherSettings | TutorTeacherSettings,
    Field(discriminator="kind"),
]


class StudySettings(Section):
    """How the student studies (Table 10, Eqs. 2-4).

    lambda: weight of the self-reflection loss, 0 leaves it out. margin: ρ of Eq. 3.
    demonstration_weight: of a demonstration's tokens in the language-model loss (A.2).
    learning_rate, later_learning_rate: round 1, and the rounds after it (None: the same).
    steps: optimizer steps a round; None studies `epochs` passes over the lesson.
    batch_size: samples an optimizer step; micro_batch_size: samples a forward pass, None takes what suits the device.
    gradient_checkpointing: computes activations anew in the backward pass, which takes a third longer and far less
        memory; None does so once memory has run out.
    max_gradient_norm: clipping; 0 leaves it out. checkpoint_steps: optimizer steps between checkpoints.
    sharding: of a study on several GPUs. "none": each holds the whole student. "full": each holds a part of every
        weight, gradient and optimizer state (FSDP2), for students that do not fit one.
    """

    lambda_: NotNegative = Field(0.5, alias="lambda")
    margin: NotNegative = 1.0
    demonstration_weight: Share = 0.1
    learning_rate: PositiveFloat = 1e-6
    later_learning_rate: PositiveFloat | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    epochs: PositiveInt = 10
    steps: PositiveInt | None = None
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt | None = None
    gradient_checkpointing: bool | None = None
    warmup_steps: Count = 100
    weight_decay: NotNegative = 0.01
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    max_gradient_norm: NotNegative = 1.0
    checkpoint_steps: PositiveInt = 100
    sharding: Literal["none", "full"] = "none"


class LoraSettings(Section):
    """Low-rank adapters in place of all weights (the LLM-Adapter rows of Table 1); keys and defaults as in PEFT's
    LoraConfig where it has them, but for r and lora_alpha. It needs `pip install tutelage[lora]`.

    target_modules: the layers that get one: "all-linear" (all but the head), endings of their names, or one pattern
        that a whole name fits.
    next_round: whether the next round goes on with the "same adapter", or has it "merged" into the weights and begins
        a fresh one.
    quantize: QLoRA: the frozen weights in 4 bits (NF4, double quantisation); it needs `pip install tutelage[qlora]`.
        Merged weights are quantised anew for the round after, which costs a little of what was learned.
    """

    r: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    lora_dropout: Beta = 0.0
    target_modules: str | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    use_rslora: bool = False
    next_round: Literal["same adapter", "merged"] = "same adapter"
    quantize: bool = False


class RoundsSettings(Section):
    """When to stop (Algorithm 1) and what a round studies.

    patience: rounds in a row without a gain of at least `smallest_gain` (a fraction of 1) in held-out
    accuracy before the run stops; a round must be better than the best one before it in any case.
    data: "this round" studies that round's rationales (Table 5), "all rounds" merges those of all so far.
    keep: whose students stay on the disk: "all" rounds', or those "needed": the untrained one, the best and the last.
    """

    limit: PositiveInt = 4
    patience: PositiveInt = 1
    smallest_gain: Share = 0.0
    data: Literal["this round", "all rounds"] = "this round"
    keep: Literal["all", "needed"] = "all"


class EvaluationSettings(Section):
    """Greedy evaluation (A.2). batch_size: as in ExamSettings."""

    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt | None = None


TrackerName = Literal["tensorboard", "wandb", "trackio"]


class Recipe(Section):
    """Everything that decides what a run does.

    report_to: the trackers that are told of each study step and round, one or several; named as in transformers.
    project, run_name: how they file the run there; None: the run folder's name. Keys to them never stand in a recipe.
    """

    task: TaskSettings
    student: StudentSettings
    teacher: AnyTeacherSettings
    prompt: PromptSettings = PromptSettings()
    exam: ExamSettings = ExamSettings()
    study: StudySettings = StudySettings()
    lora: LoraSettings | None = None
    rounds: RoundsSettings = RoundsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seed: int = 42
    report_to: TrackerName | Literal["none"] | tuple[TrackerName, ...] = "none"
    project: str = "tutelage"
    run_name: str | None = None

    @property
    def trackers(self) -> tuple[TrackerName, ...]:
        """Those of `report_to`, each once."""
        if self.report_to == "none":
            return ()
        return tuple(dict.fromkeys([self.report_to] if isinstance(self.report_to, str) else self.report_to))

    @model_validator(mode="after")
    def _check_own_task(self) -> Recipe:
        if (self.task.name == "own") != (self.task.file is not None):
            raise ValueError('task.file goes with task.name = "own", and "own" needs it')
        if self.task.name == "own" and self.task.kind is None:
            raise ValueError('task.name = "own" needs task.kind: "number", "percentage", "choice", "yes/no" or "text"')
        return self
