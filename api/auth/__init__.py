"""Access control: tokens, scopes, origins, rate limits, and security headers."""
