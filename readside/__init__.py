"""The read side: the projector turns events into read models in Redis, queries read them."""
