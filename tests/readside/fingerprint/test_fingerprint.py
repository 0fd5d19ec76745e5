"""What makes two versions of the code differ: what the projections store, not how it is written down."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from readside.fingerprint.fingerprint import Reach, entry_points, fingerprint
from readside.fingerprint.normalized_source import Normalizer, normalize_lua
from readside.projection_set import FINGERPRINT, PROJECTIONS

FILES = {
    "shop/__init__.py": "",
    "shop/model.py": '''
from __future__ import annotations
from importlib import import_module
from typing import TYPE_CHECKING
import msgspec
from readside.queries.reader import Reads
from shop.queries import Query
from shop.addresses import key as key_of
from shop.events import Moved
from shop import rules
import shop.upcasts
if TYPE_CHECKING:
    from shop.queries import Row

LIMIT = 3
SHOWN = 20
_RULES = []

class Entry(msgspec.Struct):
    at: int
    text: str = "none"

def rule(function):
    _RULES.append(function)
    return function

@rule
def short(text):
    return text[:9]

_title = rule(str.title)
_count = _RULES.append(str.upper)
_ASKED = Query(1)
_dots = import_module("shop.dots")

class Registered(type):
    def __init__(cls, *_):
        _RULES.append(cls.apply)

class Trimmed(metaclass=Registered):
    apply = str.strip

def project(keys: Keys, happened: Happened) -> list[Command]:
    """Says what happened."""
    # It is kept.
    from shop.late import suffix
    match happened.event:
        case Moved(address=address):
            entry = Entry(LIMIT, key_of(address) + suffix())
            return [("HSET", keys.of("a"), "b", f"{entry.text}: {rules.clean(entry.text)}")]
    return []

async def fetch(reads: Reads) -> list[Row]:
    return await reads.ask_all(SHOWN)
''',
    "shop/addresses.py": '''
"""Addresses."""
from .letters import lower as _lower

def key(address: str, strict: bool = True) -> str:
    """Returns the key."""
    return _lower(address) if strict else address
''',
    "shop/letters.py": "def lower(text):\n    return text.lower()\n",
    "shop/dots.py": "from shop.events import UPCASTS\nUPCASTS['Left'] = ()\n",
    "shop/late.py": "def suffix():\n    return '!'\n",
    "shop/rules.py": "def clean(text):\n    return text.strip()\n",
    "shop/upcasts.py": "from shop.events import UPCASTS as U\nU['Moved'] = (lambda old: {**old, 'to': 1},)\n",
    "shop/events.py": '''
import msgspec
UPCASTS = {}

class Moved(msgspec.Struct):
    address: str
    """Where to."""
    to: int = 0
''',
    "shop/queries.py": "class Row:\n    name: str\n\nclass Query(int):\n    pass\n",
}


class Shop:
    """A package of its own with a projection."""

    def __init__(self, place: Path) -> None:
        self._place = place
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        file = self._place / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        importlib.invalidate_caches()

    def change(self, name: str, old: str, new: str) -> None:
        text = (self._place / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def rename(self, name: str, new: str) -> None:
        (self._place / name).rename(self._place / new)
        importlib.invalidate_caches()

    @property
    def text(self) -> str:
        return Reach(["shop.model:project"]).text


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.syspath_prepend(tmp_path)
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("model.py", "LIMIT = 3", "LIMIT = 4"),
        ("model.py", '"b", f', '"c", f'),
        ("model.py", "HSET", "HSETNX"),
        ("model.py", "}: {", "} - {"),
        ("model.py", "    at: int", "    at: float"),
        ("model.py", '"none"', '"-"'),
        ("model.py", "[:9]", "[:8]"),
        ("model.py", "+ suffix()", "+ 2 * suffix()"),
        ("model.py", "rule(str.title)", "rule(str.lower)"),
        ("model.py", "append(str.upper)", "append(str.lower)"),
        ("model.py", "apply = str.strip", "apply = str.rstrip"),
        ("dots.py", "= ()", "= (str,)"),
        ("model.py", "_RULES = []\n", "_RULES = []\n_RULES.append(str)\n"),
        ("model.py", "import key as key_of", "import _lower as key_of"),
        ("addresses.py", "strict: bool = True", "strict: bool = False"),
        ("addresses.py", "if strict", "if not strict"),
        ("letters.py", "lower()", "casefold()"),
        ("late.py", "'!'", "'?'"),
        ("rules.py", "strip()", "rstrip()"),
        ("upcasts.py", "'to': 1", "'to': 2"),
        ("events.py", "to: int = 0", "to: int = 1"),
        ("events.py", "to: int", "to: float"),
        ("events.py", "address: str", "place: str"),
    ],
)
def test_code_that_runs_for_an_event_changes_it_wherever_it_is(
    shop: Shop, file: str, old: str, new: str
) -> None:
    before = shop.text
    shop.change(f"shop/{file}", old, new)
    assert shop.text != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("model.py", "Says what happened.", "Writes what happened."),
        ("model.py", "# It is kept.", ""),
        ("model.py", "\n\n", "\n\n\n\n"),
        ("model.py", '"b"', "'b'"),
        ("model.py", "Entry(LIMIT,", "Entry(\n  LIMIT,"),
        ("model.py", "LIMIT = 3", "LIMIT: int = 3"),
        ("model.py", " -> list[Command]", ""),
        ("model.py", "SHOWN = 20", "SHOWN = 50"),
        ("model.py", "Query(1)", "Query(2)"),
        ("model.py", "ask_all(SHOWN)", "ask_all(SHOWN + 1)"),
        ("addresses.py", "Addresses.", "Addresses, as they are compared."),
        ("addresses.py", "Returns the key.", "Returns what is unique."),
        ("addresses.py", "-> str", "-> object"),
        ("addresses.py", "address: str", "address: object"),
        ("events.py", '    """Where to."""\n', ""),
        ("events.py", "class Moved", "# What can happen.\nclass Moved"),
        ("queries.py", "name", "full_name"),
    ],
)
def test_docstrings_formatting_and_queries_do_not_change_it(
    shop: Shop, file: str, old: str, new: str
) -> None:
    before = shop.text
    shop.change(f"shop/{file}", old, new)
    assert shop.text == before


@pytest.mark.parametrize("name", ["addresses", "late", "upcasts", "rules"])
def test_the_name_of_a_file_does_not_change_it(shop: Shop, name: str) -> None:
    before = shop.text
    shop.rename(f"shop/{name}.py", "shop/other.py")
    new = "import other as rules" if name == "rules" else f"shop.{name}"
    shop.change(
        "shop/model.py", "import rules" if name == "rules" else new, new.replace(name, "other")
    )
    if name == "rules":
        shop.change("shop/model.py", "other as other", "other as rules")
    assert shop.text == before


def test_a_module_under_the_name_of_another_changes_it(shop: Shop) -> None:
    shop.write("shop/stricter.py", "def clean(text):\n    return text.strip().lower()\n")
    before = shop.text
    shop.change("shop/model.py", "import rules", "import stricter as rules")
    assert shop.text != before


def test_the_version_of_a_library_changes_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.text
    monkeypatch.setattr(
        "readside.fingerprint.fingerprint._version",
        lambda top: f"{top} 0" if top == "msgspec" else None,
    )
    assert shop.text != before


def test_another_model_changes_it_and_their_order_does_not(shop: Shop) -> None:
    shop.write("shop/second.py", "def project(keys, happened):\n    return []\n")
    both = fingerprint(["shop.model", "shop.second"])
    assert both != fingerprint(["shop.model"])
    assert both == fingerprint(["shop.second", "shop.model"])


def test_nothing_is_imported_to_compute_it(shop: Shop) -> None:
    shop.write("shop/late.py", "raise SystemExit\n")
    assert shop.text
    assert not [name for name in sys.modules if name.startswith("shop")]


def test_it_is_short_and_can_stand_in_a_key() -> None:
    assert len(FINGERPRINT) == 12
    assert int(FINGERPRINT, 16) >= 0


def test_this_code_causes_a_rebuild_and_no_other() -> None:
    """A longer list is no error: see that what was added has an influence on what is stored."""
    reach = Reach(entry_points(project.__module__ for project in PROJECTIONS["user"]))
    assert {
        name: reach.parts.get(name, ["(all)"]) for name, text in reach.texts.items() if text != "[]"
    } == {
        "domain.event": ["(all)"],
        "domain.users.events": ["(all)"],
        "readside.generations.fold": [
            "CannotFold",
            "Fold",
            "_INT64",
            "_METHODS",
            "_contributions",
            "_encode",
            "_int64",
            "_sorted_set_commands",
        ],
        "readside.applier": ["_checked", "commands_for"],
        "readside.command_rules": ["(all)"],
        "readside.stored_document": ["(all)"],
        "readside.redis_functions.keys": [
            "Keys",
            "LEASE_PREFIX",
            "Namespace",
            "Partition",
            "TANDEM",
            "_FIRST_SLOT",
            "_GOLDEN_RATIO",
            "_SLOTS",
            "_spread_tag",
        ],
        "readside.timestamps": ["(all)"],
        "readside.projection": ["(all)"],
        "readside.projections.user_list": ["project"],
        "readside.projections.users_by_email": ["_INDEX", "project"],
        "readside.projections.users_by_lifetime_value": ["_INDEX", "project"],
        "readside.projections.users_by_name": ["_INDEX", "project"],
        "readside.sorted_index": ["(all)"],
        "readside.projections.orders": ["project"],
        "readside.projections.users": ["UserRow", "_STORED", "_closed", "project"],
    }
    assert {library.partition(" ")[0] for library in reach.libraries} == {"idna", "msgspec"}


LUA = """
-- How many are kept.
local MANY = 5 -- "at most"
local function keep(key)
  redis.call('LTRIM', key, -MANY, -1)
end
local function apply(keys)
  return keep(keys[1] .. '--')
end
local function look(keys)
  return keys
end
redis.register_function('apply_VERSION', apply)
redis.register_function('look_VERSION', look)
"""


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("-- How many are kept.\n", "", False),
        (' -- "at most"', "", False),
        ("\n  return keep", "\n\n    return keep", False),
        ("return keys\n", "return #keys\n", False),
        ("MANY = 5", "MANY = 6", True),
        ("'--'", "'-'", True),
        ("-1)", "-2)", True),
    ],
)
def test_only_functions_in_redis_that_store_something_count(
    old: str, new: str, differs: bool
) -> None:
    assert old in LUA
    assert (
        normalize_lua(LUA.replace(old, new), ["look"]) != normalize_lua(LUA, ["look"])
    ) is differs


def test_the_text_is_the_same_on_every_python() -> None:
    """What versions of Python parse differently: f-strings, and fields that nodes have gained."""
    source = Path(__file__).with_name("syntax.txt").read_text()
    text = Normalizer().text(ast.parse(source).body)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "ec92b0d18b6a"
