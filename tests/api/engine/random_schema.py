"""A schema with every kind of type, whose resolvers return values that a test draws, valid and invalid ones.

Whoever asks twice is answered the same, so that two ways to execute an operation can be compared.
"""

# mypy: disable-error-code="no-any-return"

import enum
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Annotated, Any, Final, NewType, cast

import strawberry
from graphql import (
    GraphQLError,
    Undefined,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.schema.config import StrawberryConfig

from api.engine.cost.directives import SLICED
from api.engine.resolver_info import StrawberryInfo
from api.errors import failure
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.fields import guard
from api.resolvers.scalars import SCALARS, EmailAddress, Money
from readside.errors import ReadModelUnavailable

Shy = NewType("Shy", str)


def _shy(value: object) -> object:
    """A scalar that serialises some of its values as null."""
    return None if value == "none" else value


@strawberry.enum
class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"
    BLUE = 3


# What is answered


class Wild:
    """An object with every attribute: drawn at the first access, and then remembered."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.script.answer(f"{self.label}.{name}", type(self).__name__, _camel(name))

    def __repr__(self) -> str:
        """Returns a constant, as the other classes do: that of a dataclass would access all attributes."""
        return f"<{self.label}>"


async def _later(wild: Any, info: Info, name: str, **arguments: object) -> Any:
    return _now(wild, info, name, **arguments)


def _now(wild: Any, info: Info, name: str, **arguments: object) -> Any:
    """Returns the drawn value of a field; counts the call with its arguments."""
    script = cast("Script", info.context.store)
    source = wild.label if isinstance(wild, Wild) else "top"
    of = type(wild).__name__ if isinstance(wild, Wild) else script.top
    told = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    asked = f"{name}({told}) {info.selects('size', 'name')} {info.context.caller.scopes}"
    script.calls[f"{source}.{asked}"] += 1
    if of == "Mutation":
        script.order.append(asked)
    return script.answer(f"{source}.{name}({told})", of, _camel(name))


@strawberry.interface
class Named:
    name: str
    nick: str | None


@strawberry.type
class Cat(Named, Wild):
    lives: int

    @fields.field("Who it is a friend of.")
    async def friend(self, info: Info) -> Named | None:
        return await _later(self, info, "friend")


@strawberry.type
class Kitten(Cat):
    """A class that is a subclass of Cat in Python, but not in GraphQL."""

    mother: Cat


@strawberry.type
class Dog(Named, Wild):
    age: float | None

    @fields.field("What it is called.")
    def called(self, info: Info, loud: bool = False) -> str:
        return cast("str", _now(self, info, "called", loud=loud))


@strawberry.type
class Stone(Wild):
    weight: float


Pet = Annotated[Stone | Cat | Kitten | Dog, strawberry.union("Pet")]


@strawberry.input
class Inner:
    mark: EmailAddress | None = None
    numbers: list[int] = strawberry.field(default_factory=lambda: [1, 2])


@strawberry.input
class Mark:
    label: str
    address: EmailAddress | None
    colour: Colour | None = Colour.GREEN
    size_of: int | None = strawberry.UNSET
    place: float = 0.5


@strawberry.input
class Marks:
    """An object with values and objects only."""

    one: Mark
    other_one: Mark | None = None
    like: "Marks | None" = None


@strawberry.input
class Wish:
    name: str
    size: int | None = 7
    inner: Inner | None = None
    inners: list[Inner] | None = None
    colour: Colour = Colour.RED
    deep: list[list[int | None]] | None = strawberry.UNSET


@strawberry.type
class Thing(Wild):
    id: strawberry.ID
    name: str
    size: int
    maybe: int | None
    ratio: float
    flag: bool
    other_flag: bool | None
    from_: str | None = strawberry.field(name="from")
    class_: int = strawberry.field(name="class")
    texts: list[str]
    maybe_texts: list[str | None] | None
    grid: list[list[int | None] | None]
    colour: Colour
    colours: list[Colour] | None
    when: datetime | None
    address: EmailAddress
    amount: Money | None
    shy: Shy | None
    child: "Thing | None"
    pet: Pet
    pets: list[Pet | None]
    named: list[Named]

    @fields.field("Another one, in time.")
    async def next(self, info: Info, step: int = 1) -> "Thing | None":
        return await _later(self, info, "next", step=step)

    @fields.field("Another one, which must be there.")
    async def sure(self, info: Info, into: str | None = None) -> "Thing":
        return cast("Thing", await _later(self, info, "sure", into=into))

    @fields.field("A number.", scope="users:erase")
    def count(self, info: Info, wish: Wish | None = None) -> int | None:
        return cast("int | None", _now(self, info, "count", wish=wish))

    @fields.field("Others.")
    async def others(self, info: Info, ids: list[strawberry.ID] | None = None) -> list["Thing"]:
        return cast("list[Thing]", await _later(self, info, "others", ids=ids))


@strawberry.type
class Query:
    @fields.field("A thing.")
    async def thing(
        self,
        info: Info,
        id_: Annotated[strawberry.ID, strawberry.argument(name="id")],
    ) -> Thing | None:
        return await _later(self, info, "thing", id_=id_)

    @fields.field("Things.", SLICED)
    def things(
        self, info: Info, first: int = 2, colour: Colour | None = None, ratio: float | None = 0.5
    ) -> list[Thing | None] | None:
        return _now(self, info, "things", first=first, colour=colour, ratio=ratio)

    @fields.field("What a wish finds.", scope="users:read")
    async def wished(self, info: Info, wish: Wish, flag: bool | None = True) -> list[Pet] | None:
        return await _later(self, info, "wished", wish=wish, flag=flag)

    @fields.field("Must be there.")
    async def sure(self, info: Info, at: datetime | None = None) -> Thing:
        return cast("Thing", await _later(self, info, "sure", at=at))

    @fields.field("A mark.")
    async def marked(self, info: Info, mark: Mark, other: Mark | None = None) -> str | None:
        return cast("str | None", await _later(self, info, "marked", mark=mark, other=other))

    @fields.field("How many marks.")
    async def many(self, info: Info, marks: Marks) -> int:
        return cast("int", await _later(self, info, "many", marks=marks))

    @fields.field("A word.")
    async def word(self, info: Info, words: list[str | None] | None = None) -> str | None:
        return cast("str | None", await _later(self, info, "word", words=words))

    @fields.field("Somebody.")
    def somebody(self, info: Info, address: EmailAddress | None = None) -> Named | None:
        return _now(self, info, "somebody", address=address)


@strawberry.type
class Mutation:
    @fields.mutation("Makes one.", scope="users:write")
    async def make(self, info: Info, wish: Wish) -> Thing | None:
        return await _later(self, info, "make", wish=wish)

    @fields.mutation("Counts.", scope="users:write")
    async def count(self, info: Info, step: int = 1) -> int:
        return cast("int", await _later(self, info, "count", step=step))

    @fields.mutation("Says it.", scope="users:write")
    def say(self, info: Info, words: list[str] | None = None) -> str | None:
        return cast("str | None", _now(self, info, "say", words=words))


class _Schema(strawberry.Schema):
    """Keeps the introspection types, which all schemas of a process share (api/schema)."""

    def _extend_introspection(self) -> None:
        pass


def _schema() -> strawberry.Schema:
    shy = strawberry.scalar(name="Shy", serialize=_shy)
    config = StrawberryConfig(info_class=StrawberryInfo, scalar_map={**SCALARS, Shy: shy})
    made = _Schema(Query, Mutation, config=config)
    for type_ in made._schema.type_map.values():  # noqa: SLF001 (as api/schema/__init__.py does)
        for each in getattr(type_, "fields", {}).values():
            if hasattr(each, "resolve"):
                guard(each)
    return made


_MADE = _schema()
SCHEMA: Final = _MADE._schema  # noqa: SLF001 (what Strawberry executes on)
CONVERTER: Final = _MADE.schema_converter

_CLASSES: Final = {each.__name__: each for each in (Cat, Kitten, Dog, Stone, Thing)}
for _class in _CLASSES.values():
    _class.__repr__ = Wild.__repr__  # type: ignore[method-assign]


# What is drawn


@dataclass
class Raised:
    """An error that is raised instead of returning a value."""

    error: Exception


class Soon:
    """A value that must be awaited."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, Any]:
        yield from ()
        return self._value


class Stranger:
    """A class that belongs to no GraphQL type, with some of its attributes."""

    name = nick = "stranger"
    lives = 9

    def __str__(self) -> str:
        return "stranger"


_ERRORS: Final[list[Callable[[], Any]]] = [
    lambda: ValueError("not for clients"),
    lambda: failure("OVERLOADED", "a failure"),
    lambda: GraphQLError("bare"),
    lambda: GraphQLError("with extensions", extensions={"code": "MINE", "n": [1]}),
    lambda: ReadModelUnavailable(),
]

_RIGHT: Final[dict[str, list[Any]]] = {
    "Int": [0, 1, -1, 7, 2**31 - 1, -(2**31)],
    "Float": [0.5, -1e300, 3.0, 3, 1e-300],
    "Boolean": [True, False],
    "String": ["", "a", "é\u202e", '"', "😀"],
    "ID": ["", "1", "a"],
    "EmailAddress": ["a@example.com", ""],
    "Money": ["1.00", "2.50"],
    "Shy": ["shy", "none"],
    "DateTime": [datetime(2026, 1, 2, tzinfo=UTC)],
    "Colour": list(Colour),
}


def _given(value: object) -> object:
    return value


_MISFITS: Final[tuple[Any, ...]] = (
    *(1, 0, True, 2**31, -(2**40), 3.0, 3.5),
    *("7", "x", "r", "RED", b"x"),
    (),
    [],
)

_WRONG: Final[list[Callable[[], Any]]] = [
    *_ERRORS,
    *(partial(lambda error: Raised(error()), error) for error in _ERRORS),
    *(partial(_given, value) for value in _MISFITS),
    lambda: Soon(1),
    lambda: Soon("x"),
    lambda: Soon(None),
    *(lambda: None, lambda: float("nan"), lambda: Undefined, dict, object, Stranger),
]


class Script:
    """The values that resolvers return, and the number of their calls; takes the place of the store."""

    def __init__(self, seed: int, faults: float, top: str) -> None:
        """`faults` is the share of invalid values, `top` the type of the operation."""
        self._seed = seed
        self._faults = faults
        self._known: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.top = top
        self.begin()

    def begin(self) -> None:
        """Clears the calls."""
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []

    def answer(self, key: str, type_: str, field: str) -> Any:
        """Returns the value of a field, or raises the drawn error."""
        if key not in self._known:
            core: Any = SCHEMA.type_map[type_]
            dice = Random(f"{self._seed} {key}")
            self._known[key] = self._value(core.fields[field].type, key, dice)
        value = self._known[key]
        if isinstance(value, Raised):
            raise value.error
        return (each for each in value.items) if isinstance(value, Once) else value

    def _value(self, type_: Any, key: str, dice: Random) -> Any:
        if self._is_wrong(key, dice):
            if dice.random() < 0.2:
                return self._made(dice.choice(list(_CLASSES)), key)
            return dice.choice(_WRONG)()
        if not is_non_null_type(type_) and dice.random() < 0.15:
            return None
        nullable: Any = get_nullable_type(type_)
        if is_list_type(nullable):
            return self._list(nullable.of_type, key, dice)
        if is_leaf_type(nullable):
            return dice.choice(_RIGHT[nullable.name])
        possible = SCHEMA.get_possible_types(nullable) if is_abstract_type(nullable) else [nullable]
        return self._made(dice.choice(possible).name, key)

    def _list(self, of: Any, key: str, dice: Random) -> Any:
        items = [self._value(of, f"{key}.{at}", dice) for at in range(dice.randrange(4))]
        items = [item.error if isinstance(item, Raised) else item for item in items]
        if not self._is_wrong(key, dice):
            return items
        return dice.choice([tuple(items), Once(items), dict.fromkeys("ab", 1)])

    def _is_wrong(self, key: str, dice: Random) -> bool:
        wrong = dice.random() < self._faults
        if wrong:
            self.wrong.append(key)
        return wrong

    def _made(self, name: str, key: str) -> Any:
        made: Any = object.__new__(_CLASSES[name])
        made.script, made.label = self, key
        return made


@dataclass
class Once:
    """A value that is returned as a new generator each time."""

    items: list[Any]


def _camel(name: str) -> str:
    first, *others = name.rstrip("_").split("_")
    return first + "".join(map(str.title, others))
