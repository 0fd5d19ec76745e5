"""The aggregate Product: its events, state, refusals and commands."""
