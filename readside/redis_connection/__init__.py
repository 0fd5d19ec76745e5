"""The multiplexed connection to Redis: protocol, request queue and encoding."""
