"""Expensive documents: families of them, about as large as the limits allow, and mixtures of these.

A family is a pattern for which some stage might take more than linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from api.limits import Limits
from tests.api.in_memory_app import ALICE

LIMITS: Final = Limits()
ROOM: Final = LIMITS.source_characters - 2_000
"""Characters for padding."""

_NAME: Final = "n" * LIMITS.name_characters


def many(pattern: str, number: int, separator: str = " ") -> str:
    """Returns the pattern repeated, with its number for each #."""
    return separator.join(pattern.replace("#", str(index)) for index in range(number))


def users(selections: str) -> str:
    return f"{{ users(first: 100) {{ nodes {{ {selections} }} }} }}"


def _long(start: str) -> str:
    return start + _NAME[len(start) :]


def _chain(number: int, body: str = "id") -> str:
    """Fragments that spread the next one."""
    links = [f"fragment F{at} on User {{ {body} ...F{at + 1} }}" for at in range(number - 1)]
    return " ".join([*links, f"fragment F{number - 1} on User {{ {body} }}"])


_ORDERS: Final = "orders(first: 0) { totalCount }"
_FIELDS: Final = "id name email createdAt updatedAt version orderCount lifetimeValue"
_ALIASES: Final = f"{many('a#: id', 14)} id status total placedAt completedAt"
_INPUT: Final = 'name: "A", email: "a@example.com"'

PADDING: Final[Mapping[str, Callable[[int], str]]] = {
    "nothing": lambda _: "",
    "line feeds": lambda room: "\n" * room,
    "carriage returns": lambda room: "\r" * room,
    "both": lambda room: "\r\n" * (room // 2),
    "blanks": lambda room: " " * room,
    "byte order marks": lambda room: "\ufeff" * room,
    "commas": lambda room: "," * room,
    "a comment": lambda room: f"#{'x' * room}\n",
    "comments": lambda room: f"#{'y' * (room // 200)}\n" * 199,
    "characters of four bytes": lambda room: f"#{chr(0x1F600) * room}\n",
}
"""Padding before a document, for large offsets and many lines."""

FAMILIES: Final[Mapping[str, str]] = {
    "failing fields of many objects": users(many(f"a#: {_ORDERS}", 14)),
    "a failing field again and again": users(f"{_ORDERS} " * 50),
    "failing fields at the top": "{ " + many('a#: user(id: "x") { id }', 10) + " }",
    "failing fields in fragments": users("...F0 " * 40) + _chain(49, _ORDERS),
    "many orders": users(
        f"{many('a#: orders(first: 2) { nodes { id status total placedAt } }', 14)}"
    ),
    "many users": "{ "
    + many("a#: users(first: 100) { nodes { id } edges { node { id } } }", 10)
    + " }",
    "renamed fields": users(many("a#: name", 480)),
    "renamed fields with long names": users(
        " ".join(f"{_long(f'a{at}')}: name" for at in range(480))
    ),
    "renamed fields in fragments": users(many("...F#", 9))
    + " ".join(f"fragment F{at} on User {{ {many(f'a#x{at}: name', 50)} }}" for at in range(9)),
    "long aliases": users(" ".join(f"{_long(f'a{at}')}: name" for at in range(14))),
    "unknown fields": users(many("x#", 490)),
    "unknown fields with long names": users(" ".join(_long(f"x{at}") for at in range(490))),
    "names that are nearly known": users(
        " ".join("lifetimeValues" + "s" * at for at in range(300))
    ),
    "unknown arguments": f"{{ users({many('x#: 1', 400)}) {{ totalCount }} }}",
    "one argument": f"{{ users({'first: 1 ' * 500}) {{ totalCount }} }}",
    "arguments of many fields": users(
        many("a#: orders(first: 1, after: null) { totalCount }", 14) * 3
    ),
    "overlapping fields": users("id name " * 25),
    "overlapping fields that conflict": users(many("id: name name: id", 25)),
    "overlapping lists": users("orders(first: 1) { nodes { id } } " * 50),
    "overlapping lists that conflict": users(
        " ".join(f"orders(first: {at}) {{ nodes {{ id }} }}" for at in range(1, 51))
    ),
    "overlapping in depth": users(
        "orders { nodes { id } edges { node { id status } } pageInfo { endCursor } } " * 12
    ),
    "overlapping in inline fragments": users("... { id name } " * 25),
    "overlapping in typed fragments": users("... on User { id name orders { totalCount } } " * 16),
    "overlapping by fragments": users(many("...F#", 49)) + many("fragment F# on User { id }", 49),
    "overlapping by fragments that conflict": users(many("...F#", 49))
    + " ".join(
        f"fragment F{at} on User {{ a: orders(first: {at}) {{ totalCount }} }}" for at in range(15)
    ),
    "fragments in a chain": users("...F0") + _chain(50),
    "fragments in a chain, spread often": users("...F0 " * 300) + _chain(50),
    "fragments that spread all later ones": users("...F0")
    + " ".join(
        f"fragment F{at} on User {{ id {' '.join(f'...F{to}' for to in range(at + 1, 28))} }}"
        for at in range(28)
    ),
    "fragments in a circle": users("...F0")
    + " ".join(f"fragment F{at} on User {{ id ...F{(at + 1) % 50} }}" for at in range(50)),
    "fragments that spread each other": users("...F0")
    + " ".join(
        f"fragment F{at} on User {{ {' '.join(f'...F{to}' for to in range(20))} }}"
        for at in range(20)
    ),
    "unused fragments": "{ __typename } " + many("fragment F# on User { id }", 50),
    "unknown fragments": users(many("...F#", 490)),
    "fragments of unknown types": "{ ...F0 } " + many("fragment F# on X# { id }", 50),
    "fragments of one name": "{ ...F } " + "fragment F on Query { __typename } " * 200,
    "operations": many("query Q# { __typename }", 390),
    "operations of one name": "query Q { __typename } " * 390,
    "operations that share fragments": many("query Q# { ...F0 }", 100)
    + many("fragment F# on Query { users { nodes { id } } ...F0 }", 40),
    "unused variables": f"query({many('$v#: Int', 480)}) {{ __typename }}",
    "undefined variables": users(many("orders(first: $v#) { totalCount }", 50)),
    "variables of one name": f"query({'$v: Int ' * 480}) {{ __typename }}",
    "variables in wrong positions": f"query({many('$v#: String', 150)}) {{ users {{ nodes {{"
    + many("orders(first: $v#) { totalCount }", 50)
    + "} } }",
    "variables of unknown types": f"query({many('$v#: X#', 480)}) {{ __typename }}",
    "variables of deep types": f"query($v: {'[' * 190}Int{']' * 190}) {{ users(first: $v) {{ id }} }}",
    "variables with defaults": f"query({many('$v#: Int = #', 280)}) {{ __typename }}",
    "variables in fragments of operations": many("query Q#($v: Int) { ...F0 }", 60)
    + many("fragment F# on Query { users(first: $v) { totalCount } }", 30),
    "directives": users("id @skip(if: false) @include(if: true) " * 25),
    "unknown directives": users("id @a @b @c @d " * 12),
    "directives with odd arguments": users(f"id @skip(if: {{{many('a#: 1', 190)}}})"),
    "directives of variables": f"query({many('$v#: Int @a @b', 24)}) {{ __typename }}",
    "a deep list": f"{{ user(id: {'[' * 150}{']' * 150}) {{ id }} }}",
    "a deep object": f"{{ user(id: {'{a: ' * 150}1{'}' * 150}) {{ id }} }}",
    "a list": f"{{ users(first: [{'1 ' * 199}]) {{ totalCount }} }}",
    "an object": f"mutation {{ createUser(input: {{{many('x#: 1', 199)}}}) {{ id }} }}",
    "an object with one field": f"mutation {{ createUser(input: {{{'name: 1 ' * 199}}}) {{ id }} }}",
    "inputs": "mutation { "
    + many(f"a#: createUser(input: {{{_INPUT}}}) {{ id errors {{ __typename }} }}", 10)
    + " }",
    "a long string": f'{{ user(id: "{"x" * ROOM}") {{ id }} }}',
    "a string of escapes": f'{{ user(id: "{(chr(92) + "n") * (ROOM // 2)}") {{ id }} }}',
    "a string of escaped characters": '{ user(id: "' + "\\u0041" * (ROOM // 6) + '") { id } }',
    "a string of braced escapes": '{ user(id: "' + "\\u{41}" * (ROOM // 6) + '") { id } }',
    "an unterminated string": '{ user(id: "' + "x" * ROOM,
    "many strings": "{ users(after: [" + '"" ' * 199 + "]) { totalCount } }",
    "a block string": f'{{ user(id: """{"x" * ROOM}""") {{ id }} }}',
    "a block string of lines": f'{{ user(id: """{chr(10) * ROOM}""") {{ id }} }}',
    "a block string of indented lines": '{ user(id: """' + "\n x" * (ROOM // 3) + '""") { id } }',
    "a block string of growing indentation": '{ user(id: """'
    + "".join("\n" + " " * at + "x" for at in range(340))
    + '""") { id } }',
    "a block string of escaped quotes": '{ user(id: """' + '\\"""' * (ROOM // 4) + '""") { id } }',
    "a block string of quotes": '{ user(id: """' + '""x' * (ROOM // 3) + '""") { id } }',
    "an unterminated block string": '{ user(id: """' + '"" \n' * (ROOM // 4),
    "a number": f"{{ users(first: {'9' * ROOM}) {{ totalCount }} }}",
    "a number of as many digits as Python reads": f"{{ users(first: {'9' * 4_300}) {{ totalCount }} }}",
    "an id that is a number": f"{{ user(id: {'9' * ROOM}) {{ id }} }}",
    "a fraction": f"{{ users(first: 0.{'9' * ROOM}) {{ totalCount }} }}",
    "an exponent": f"{{ users(first: 1e{'9' * ROOM}) {{ totalCount }} }}",
    "numbers": f"{{ users(first: [{('9' * 300 + ' ') * 199}]) {{ totalCount }} }}",
    "selections in depth": "{a" * 190 + "}" * 190,
    "inline fragments in depth": users("... { " * 180 + "id" + " }" * 180),
    "inline fragments": users("... { id } " * 50 + "... { __typename } " * 100),
    "introspection in circles": "{ __schema { types { "
    + "fields { type { " * 5
    + "name"
    + " } }" * 5
    + " } } }",
    "introspection with aliases": "{ __schema { types { "
    + many("a#: fields { name type { name kind ofType { name } } }", 14)
    + " } } }",
    "introspection with fragments": "{ __schema { types { ...A } queryType { ...A } } }"
    "fragment A on __Type { ...B possibleTypes { ...B } fields { type { ...B ofType { ...B } } } }"
    "fragment B on __Type { name kind fields { name args { name type { name } } } }",
    "introspection of types by name": "{ "
    + many('a#: __type(name: "User") { fields { name } }', 10)
    + " }",
    "braces": "{" * ROOM,
    "dots": "{ " + "..." * 600,
    "quotation marks": '"' * ROOM,
    "quotation marks and line breaks": '"\n' * (ROOM // 2),
    "numbers and dots": "1 " * 900,
    "a name": "{ " + "a" * ROOM + " }",
    "literals of a shape": users(
        " ".join(f"a{at}: orders(first: {at + 1}) {{ totalCount }}" for at in range(14))
    ),
    "an id in a shape": f'{{ user(id: "{ALICE}", minVersion: 1) {{ id }} }}',
}


EXECUTED: Final[Mapping[str, Callable[[int], str]]] = {
    "fields of many objects": lambda n: users(f"orders(first: {n}) {{ nodes {{ {_ALIASES} }} }}"),
    "many objects of few fields": lambda n: users(f"orders(first: {n}) {{ nodes {{ id }} }}"),
    "many calls": lambda n: users(many(f"a#: orders(first: {n % 7 + 1}) {{ totalCount }}", n // 7)),
    "many calls and objects": lambda n: users(
        many(f"a#: orders(first: {n}) {{ nodes {{ id }} edges {{ node {{ total }} }} }}", 8)
    ),
    "many users": lambda n: (
        "{ "
        + many(
            f"a#: users(first: {n}) {{ nodes {{ {_FIELDS} }} edges {{ node {{ {_FIELDS} }} }} }}",
            10,
        )
        + " }"
    ),
    "renamed fields": lambda n: (
        f"{{ users(first: {n}) {{ nodes {{ {many('a#: name', 480)} }} }} }}"
    ),
    "failing calls": lambda n: users(many(f"a#: {_ORDERS}", min(n, 9))),
    "an error at the end": lambda n: (
        f"{{ {users(f'orders(first: {n}) {{ nodes {{ {_ALIASES} }} }}')[2:-2]}"
        ' b: user(id: "x") { id } }'
    ),
    "fields of each kind of skipping": lambda n: users(
        f"orders(first: {n}) {{ nodes {{ {'id @include(if: true) ' * 20} {_ALIASES} }} }}"
    ),
    "introspection": lambda n: (
        "{ __schema { types { name kind fields { name args { name }"
        " type { name ofType { name } } } } } users(first: " + str(n) + ") { nodes { name } } }"
    ),
}
"""Valid documents; of each family the largest within the limits is executed."""


def documents(seed: int, mixtures: int) -> Iterator[tuple[str, str]]:
    """Yields names and texts: each family after some padding, and mixtures of two families."""
    dice = Random(seed)
    for name, text in FAMILIES.items():
        yield _padded(name, text, dice)
    for _ in range(mixtures):
        one, other = dice.sample(list(FAMILIES), 2)
        yield _padded(f"{one}, and {other}", _joined(FAMILIES[one], FAMILIES[other]), dice)


def _padded(name: str, text: str, dice: Random) -> tuple[str, str]:
    padding = dice.choice(list(PADDING))
    return f"{name}, behind {padding}", PADDING[padding](max(0, ROOM - len(text))) + text


def _joined(one: str, other: str) -> str:
    """Returns the fields of both in one operation, if both are queries without a name."""
    if one.startswith("{ ") and other.startswith("{ "):
        return "{ " + one[2 : one.rfind(" }")] + " " + other[2:]
    return f"{one} {other}"
