"""Who answers an exam or an evaluation: the engine, the library's `generate`, or vLLM, behind one interface.

And when an answer is complete.
"""
