"""What core and plugins agree on: one file per plugin kind, and `handover` for the parts of a run."""
