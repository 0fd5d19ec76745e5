"""The bytes: HTTP and WebSocket connections that wait for nobody for ever, and the shortest way of a POST."""
