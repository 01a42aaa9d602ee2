"""What a file written for ms-swift registers, kept to our contracts: one file for each kind, each with `adapted`."""
