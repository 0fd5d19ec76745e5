"""What can be asked: one file per command, which holds its values and its decision."""
