"""The projector: a consumer of the streams that applies events to the read models."""
