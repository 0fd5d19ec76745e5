"""The read side: the projector turns events into read models in Redis, the reader answers from them."""
