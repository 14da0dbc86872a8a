"""The model itself: where it comes from, its special tokens, adapters and quantization, and its file on the disk.

Attention, checkpointed activations and memory too: what passes and engines change or ask of a model for a while.
"""
