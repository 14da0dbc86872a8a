"""The recipe: typed and frozen, a file for each part of it. recipes.py reads it from TOML.

A default that comes from the paper cites its table (arXiv 2310.13332).
"""

from tutelage.config.recipe import Recipe, RoundsSettings, TrackerName
from tutelage.config.section import Section
from tutelage.config.student import EvaluationSettings, ExamSettings, PromptSettings, StudentSettings
from tutelage.config.study import LoraSettings, StudySettings
from tutelage.config.task import TaskSettings
from tutelage.config.teacher import (
    AnyTeacherSettings,
    BudgetSettings,
    LocalTeacherSettings,
    OpenAITeacherSettings,
    PriceSettings,
    RecordedTeacherSettings,
    SampledTeacherSettings,
    TeacherSettings,
    TutorTeacherSettings,
)

__all__ = [
    "AnyTeacherSettings",
    "BudgetSettings",
    "EvaluationSettings",
    "ExamSettings",
    "LocalTeacherSettings",
    "LoraSettings",
    "OpenAITeacherSettings",
    "PriceSettings",
    "PromptSettings",
    "Recipe",
    "RecordedTeacherSettings",
    "RoundsSettings",
    "SampledTeacherSettings",
    "Section",
    "StudentSettings",
    "StudySettings",
    "TaskSettings",
    "TeacherSettings",
    "TrackerName",
    "TutorTeacherSettings",
]
