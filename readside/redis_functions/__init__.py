"""The functions inside Redis, the names of their keys, and the streams."""
