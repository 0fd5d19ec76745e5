"""Verification: compares the read models with the event log while both are in use."""
