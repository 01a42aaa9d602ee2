"""A stage that trains short rows first, a command that shows it, and a section of the report."""
