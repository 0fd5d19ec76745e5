"""The process: settings become parts, parts become a running service."""
