"""How questions and lessons read to the student: plain text, its own chat template, a run's template, and tokens.

What a question says is told elsewhere (tutelage/prompts.py); here it is made to fit one student.
"""
