"""From what the run file names to rows a model eats. Read `load.py` first; `survey.py` looks ahead for a plan."""
