"""Process rewards: scores of steps, one file each."""
