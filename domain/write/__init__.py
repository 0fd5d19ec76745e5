"""The write path: a command becomes one SQL statement that writes rows and events together."""
