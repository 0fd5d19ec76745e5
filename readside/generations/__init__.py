"""Generations of read models: built from the event log, activated, kept and removed."""
