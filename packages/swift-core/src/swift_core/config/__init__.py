"""From a run file and the command line to a `RunConfig`, every mistake with its file, line and column."""
