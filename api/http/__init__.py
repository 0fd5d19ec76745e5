"""How operations arrive and answers leave: HTTP, server-sent events and WebSocket over one execution."""
