"""Study: the training loop, its optimizer steps and what they need: batches, shares of the ranks, ways, checkpoints.

Begin with loop.py, which calls stepping.py for each step.
"""
