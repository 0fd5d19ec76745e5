"""Why the read model cannot answer. Each has the code that the client sees and a sentence fit for clients."""

from __future__ import annotations

from typing import ClassVar


class ReadModelError(Exception):
    """The read model cannot answer now; asking again later may succeed."""

    code: ClassVar[str]


class ReadModelBehind(ReadModelError):
    """The user has not reached the version that was asked for within the deadline."""

    code = "READ_MODEL_BEHIND"

    def __init__(self, wanted: int, have: int) -> None:
        super().__init__(
            f"The read model has version {have} of this user, you asked for {wanted}; ask again in a moment."
        )
        self.wanted = wanted
        self.have = have


class ChangesNoLongerKept(ReadModelError):
    """Somebody who watches a user wants changes that are too far back, or has fallen too far behind."""

    code = "CHANGES_FORGOTTEN"

    def __init__(self, after: int) -> None:
        super().__init__(
            f"The changes after version {after} are no longer kept;"
            " watch without afterVersion to go on from the present state."
        )


class ReadModelRebuilding(ReadModelError):
    """There is nothing to answer from yet."""

    code = "READ_MODEL_REBUILDING"

    def __init__(self) -> None:
        super().__init__("The read model is being built; ask again in a moment.")


class ReadModelUnavailable(ReadModelError):
    """Redis does not answer."""

    code = "READ_MODEL_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The read model cannot be reached; ask again in a moment.")


class ReadModelOverloaded(ReadModelError):
    """Redis has not answered as many commands as may be under way."""

    code = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "The read model is asked for more than it can answer; try again in a moment."
        )


class NotServing(Exception):
    """There is no read model to be looked at; str() is one sentence."""

    def __init__(self, partition: int) -> None:
        super().__init__(
            f"Partition {partition} has no read model that serves; is `tandem projector` running?"
        )
