"""Files and arguments written for ms-swift: its plugin files run here unchanged, and its arguments become a run file.

`read.py` sees in the source what a file registers, without running it; `load.py` runs it with `stand_ins.py` in the
place of the package `swift`, which need not be installed and is not touched where it is; `adapters/` lets what the file
registers keep our contracts. `migrate/` turns arguments into a run file.
"""
