"""Data: from what the run file names to rows a model eats. `load.py` is the way through; `survey.py` looks ahead for a plan."""
