"""Who learns: a small language model that answers, and studies a lesson.

Its rooms, each of which imports from those before it alone:

    model/      the model and its tokenizer: loaded, repaired, quantized, adapted, saved
    text/       how questions and lessons read to it: plain text, chat templates, tokens
    loss/       the joint loss of Eqs. 2-4, and the plainest way to compute it
    ranks/      what several GPUs need: gradients summed up, a student in shards
    packed/     the same loss in one pass over a tree of prefixes
    engine/     answers to many prompts at a time, fast
    answering/  who answers an exam or an evaluation: the engine, the library or vLLM
    training/   the training loop, its steps and its checkpoints
"""
