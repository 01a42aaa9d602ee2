"""What runs in the confined process, before anything of a stranger: the standard library and nothing else."""
