"""The aggregate User, orders included: its events, state, values, refusals and commands."""
