"""From the arguments of ms-swift (or of LLaMA-Factory, or a TRL script) to a run file.

`given.py` reads arguments with their places, `words.py` turns the words of other programs into those of ms-swift,
`tables.py` says which argument is which key, the files beside it settle what depends on several arguments, and
`write.py` writes the run file. What cannot be carried over is named with its reason, never left out silently.
"""
