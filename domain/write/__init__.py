"""The write path: carries out a command with one SQL statement that writes rows and events together."""
