"""The benchmark: drives a running service as its clients would and prints what it saw."""
