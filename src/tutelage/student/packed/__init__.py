"""One packed pass over a tree of prefixes instead of four separate ones.

An encoder-decoder student has its own way to the same end: each question is encoded once (shared_encoder.py).
"""
