"""What ends a command, and a person can mend: told in one sentence, without a traceback."""


class Mendable(Exception):
    """str() is that sentence; it says what to do."""
