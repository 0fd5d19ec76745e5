"""HTTP and WebSocket connections of uvicorn's server, with limits on time, bytes and number."""
