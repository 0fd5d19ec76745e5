"""What all rules of the checker look at, and how a command and an event know each other."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec

from tests.chaos.evidence import Evidence, Logged
from tests.chaos.history import Called, History, Seen
from tests.chaos.model import BLANK, Personal, fold, kept

Token = tuple[str, ...]
"""What an event is known by: its type, what it is about, and the value that its command gave."""

Place = tuple[str, int]
"""A user and a version."""

CREATES = ("createUser", "createProduct")

_ABOUT = {
    "createUser": "UserCreated",
    "renameUser": "UserRenamed",
    "updateUserEmail": "UserEmailUpdated",
    "placeOrder": "OrderPlaced",
    "completeOrder": "OrderCompleted",
    "cancelOrder": "OrderCancelled",
    "eraseUser": "UserErased",
    "createProduct": "ProductCreated",
    "changePrice": "PriceChanged",
    "discontinueProduct": "ProductDiscontinued",
}


class Case:
    """The history, the evidence, and what follows from both at once."""

    def __init__(self, history: History, evidence: Evidence, parked: frozenset[str]) -> None:
        self.history = history
        self.evidence = evidence
        self.parked = parked
        self.groups: dict[str, list[Called]] = defaultdict(list)
        """The attempts of each command, by key; a command without one has one attempt."""
        for call in history.calls:
            self.groups[call.key or f"number {call.number}"].append(call)
        self._answers = {all_[0].number: self._heard(all_) for all_ in self.groups.values()}
        personal = self._told()
        self.stories = fold(evidence.events, personal)
        self.tokens = [_written(event, personal) for event in evidence.events]
        """Of each event; what its erasure has blanked is as its command says, or ''."""
        places = [(event.user, event.version) for event in evidence.events]
        self.log = dict(zip(places, zip(evidence.events, self.tokens, strict=True), strict=True))
        """The event at each place, and its token."""

    def _told(self) -> Personal:
        """What each command that took effect said about names and addresses, by user and version."""
        told: Personal = {}
        for attempts in self.groups.values():
            if (place := self.place(attempts)) is not None:
                given = {} if "sku" in attempts[0].input else attempts[0].input
                found = {field: given[field] for field in ("name", "email") if field in given}
                told[place] = told.get(place, {}) | found
        return told

    def place(self, attempts: list[Called]) -> Place | None:
        """The user and the version at which a command took effect, or found nothing to do."""
        answers = self.answers(attempts)
        return (self.user_of(answers[0]), answers[0].version or 0) if answers else None

    def answers(self, attempts: list[Called]) -> list[Called]:
        """What the attempts of one command were answered: as the store has kept it, and as it was heard."""
        return self._answers[attempts[0].number]

    def _heard(self, attempts: list[Called]) -> list[Called]:
        found = [call for call in attempts if call.outcome == "ok"]
        row = self.row(attempts)
        if row is None:
            return found
        kept = str(row["id"]), row["version"]
        if all((call.id, call.version) != kept for call in found):
            fields = {"outcome": "ok", "id": kept[0], "version": kept[1], "code": None}
            found.insert(0, msgspec.structs.replace(attempts[0], **fields))
        return found

    def row(self, attempts: list[Called]) -> dict[str, Any] | None:
        """Where the answer to a key is kept."""
        key = attempts[0].key
        return None if key is None else self.evidence.commands.get(kept(key))

    def may_have_effect(self, attempts: list[Called]) -> bool:
        """A key is kept together with the effect, so one that is not kept has had none."""
        outcomes = {call.outcome for call in attempts}
        if attempts[0].key is None or outcomes == {"fail"}:
            return outcomes != {"fail"}
        return self.row(attempts) is not None or "ok" in outcomes

    def user_of(self, call: Called) -> str:
        if call.command in CREATES:
            return str(call.id)
        if order := call.input.get("orderId"):
            return str(self.evidence.orders.get(order, {}).get("user_id"))
        return subject_of(call)


def subject_of(call: Called) -> str:
    """The user or product that a command names."""
    return str(call.input.get("userId") or call.input.get("productId"))


def token_of(call: Called) -> Token:
    """Of the event that a command asks for; the ids that the service makes up are not in it."""
    kind, given = _ABOUT[call.command], call.input
    match call.command:
        case "createUser":
            return kind, given["name"], given["email"]
        case "renameUser":
            return kind, given["userId"], given["name"]
        case "updateUserEmail":
            return kind, given["userId"], given["email"]
        case "placeOrder":
            return kind, given["userId"], str(minor(given["total"]))
        case "completeOrder" | "cancelOrder":
            return kind, given["orderId"]
        case "createProduct":
            return kind, given["sku"], given["name"], str(minor(given["price"]))
        case "changePrice":
            return kind, given["productId"], str(minor(given["price"]))
        case _:
            return kind, subject_of(call)


def _written(event: Logged, personal: Personal) -> Token:
    kind, user, data = event.type, event.user, event.data
    if BLANK in data.values():
        told = personal.get((user, event.version), {})
        data = {field: value or told.get(field, BLANK) for field, value in data.items()}
    match kind:
        case "UserCreated":
            return kind, data["name"], data["email"]
        case "UserRenamed":
            return kind, user, data["name"]
        case "UserEmailUpdated":
            return kind, user, data["email"]
        case "OrderPlaced":
            return kind, user, str(data["total"])
        case "OrderCompleted" | "OrderCancelled":
            return kind, data["order_id"]
        case "ProductCreated":
            return kind, data["sku"], data["name"], str(data["price"])
        case "PriceChanged":
            return kind, user, str(data["price"])
        case _:
            return kind, user


def minor(money: str) -> int:
    """Minor units of a decimal string. Raises ValueError or ArithmeticError: it is none of two places."""
    units = Decimal(money) * 100
    if units != int(units):
        raise ValueError(f"{money} has more than two places")
    return int(units)


def told(call: Called) -> str:
    circumstances = f"number {call.number}, key {call.key}, {call.outcome} {call.version}"
    return f"{call.command} {call.input} ({circumstances})"


def asked(seen: Seen) -> str:
    return f"{seen.query} {seen.arguments} of {seen.client} (number {seen.number})"
