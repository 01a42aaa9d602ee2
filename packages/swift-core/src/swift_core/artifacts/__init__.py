"""From what training left behind to the run directory: weights, metrics, plan and report."""
