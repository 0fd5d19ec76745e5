"""Verification: the read models compared with the event log while both are in use."""
