"""The aggregate User: its events, state, values, refusals and commands."""
