"""Execution of requests: admission, concurrency limits, the engine, and the response."""
