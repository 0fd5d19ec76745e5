"""The event log and its relay: events are read in order and appended to the streams."""
