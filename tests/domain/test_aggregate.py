"""A declaration is all that the machinery needs of an aggregate, and a mistake in it is one sentence.

The aggregate Member has what users do not have: personal data in children and in a unique column, columns
with the names of reserved words, and an `evolve` that does not know of erasure.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, NewType
from uuid import UUID

import msgspec
import pytest

from domain.aggregate_contract import Aggregate, AggregateState, UniqueKey, registry
from domain.aggregates import AGGREGATES
from domain.command import ByChild, ById, Command, Decision, New, Target
from domain.event import DomainEvent, NonPersonal, Personal
from domain.ids import new_id
from domain.log.audit import Audit
from domain.refusal import Refusal
from domain.tables import Children
from domain.users.aggregate import USER
from tests.domain.write_model import START, WriteModel
from tests.products.domain.aggregate import PRODUCT

NoteId = NewType("NoteId", UUID)


class Joined(DomainEvent, frozen=True, kw_only=True):
    name: Personal[str]
    phone: Personal[str] | None = None
    end: date


class NoteAdded(DomainEvent, frozen=True, kw_only=True):
    note_id: NoteId
    text: Personal[str]


class NoteRated(DomainEvent, frozen=True, kw_only=True):
    note_id: NoteId
    stars: int


class NotePinned(DomainEvent, frozen=True, kw_only=True):
    note_id: NoteId
    place: int


class NoteRemoved(DomainEvent, frozen=True, kw_only=True):
    note_id: NoteId


class MemberLeft(DomainEvent, frozen=True, kw_only=True):
    pass


class Note(msgspec.Struct, frozen=True, kw_only=True):
    id: NoteId
    text: Personal[str]
    group: int = 0
    place: int | None = None


class Member(AggregateState, frozen=True, kw_only=True):
    name: Personal[str] = ""
    phone: Personal[str] | None = None
    end: date | None = None
    notes: dict[NoteId, Note] = msgspec.field(default_factory=dict)


class PhoneTaken(Refusal, frozen=True, kw_only=True):
    message: str = "Another member has this number."


class PlaceTaken(Refusal, frozen=True, kw_only=True):
    message: str = "Another note is pinned there."


def evolve(member: Member, event: DomainEvent, at: datetime) -> Member:
    match event:
        case Joined(name=name, phone=phone, end=end):
            return msgspec.structs.replace(member, name=name, phone=phone, end=end)
        case NoteAdded(note_id=note_id, text=text):
            notes = {**member.notes, note_id: Note(id=note_id, text=text)}
            return msgspec.structs.replace(member, notes=notes)
        case NoteRated(note_id=note_id, stars=stars):
            rated = msgspec.structs.replace(member.notes[note_id], group=stars)
            return msgspec.structs.replace(member, notes={**member.notes, note_id: rated})
        case NotePinned(note_id=note_id, place=place):
            pinned = msgspec.structs.replace(member.notes[note_id], place=place)
            return msgspec.structs.replace(member, notes={**member.notes, note_id: pinned})
        case NoteRemoved(note_id=note_id):
            notes = {key: note for key, note in member.notes.items() if key != note_id}
            return msgspec.structs.replace(member, notes=notes)
    return member


DECLARED: dict[str, Any] = {
    "name": "member",
    "plural": "members",
    "state": Member,
    "events": Joined | NoteAdded | NoteRated | NotePinned | NoteRemoved | MemberLeft,
    "evolve": evolve,
    "table": "members",
    "children": {
        "notes": Children(table="notes", parent="member_id", unique={"notes_place_key": PlaceTaken})
    },
    "unique": (UniqueKey(constraint="members_phone_key", refusal=PhoneTaken, column="phone"),),
    "ends_with": (MemberLeft,),
}
MEMBER = Aggregate(**DECLARED)

TABLES = """
    create table members (
        id uuid primary key, version integer not null, created_at timestamptz not null,
        updated_at timestamptz not null, erased_at timestamptz, secret uuid,
        name text not null, phone text constraint members_phone_key unique, "end" date
    );
    create table notes (
        id uuid primary key, member_id uuid not null references members (id), text text not null,
        "group" bigint not null, place integer,
        constraint notes_place_key unique (member_id, place) deferrable
    );
"""


class Join(Command, frozen=True, kw_only=True):
    aggregate: ClassVar[Aggregate] = MEMBER

    member_id: UUID
    name: str
    phone: str | None

    @property
    def target(self) -> Target:
        return New(self.member_id)

    def decide(self, member: Member) -> Decision:
        return [] if member.version else [Joined(name=self.name, phone=self.phone, end=date.max)]


class AddNotes(Command, frozen=True, kw_only=True):
    aggregate: ClassVar[Aggregate] = MEMBER

    member_id: UUID
    texts: dict[NoteId, str]

    @property
    def target(self) -> Target:
        return ById(self.member_id)

    def decide(self, member: Member) -> Decision:
        return [NoteAdded(note_id=note_id, text=text) for note_id, text in self.texts.items()]


class RateNote(Command, frozen=True, kw_only=True):
    """Rates a note, and its member may leave with the same command."""

    aggregate: ClassVar[Aggregate] = MEMBER

    note_id: NoteId
    leave: bool = False

    @property
    def target(self) -> Target:
        return ByChild("notes", self.note_id)

    def decide(self, member: Member) -> Decision:
        rated = NoteRated(note_id=self.note_id, stars=5)
        return [rated, MemberLeft()] if self.leave else [rated]


class PinNote(RateNote, frozen=True, kw_only=True):
    place: int

    def decide(self, member: Member) -> Decision:
        return [NotePinned(note_id=self.note_id, place=self.place)]


class RemoveNote(RateNote, frozen=True, kw_only=True):
    def decide(self, member: Member) -> Decision:
        removed = [NoteRemoved(note_id=self.note_id)] if self.note_id in member.notes else []
        return [*removed, MemberLeft()] if self.leave else removed


class SwapPlaces(RateNote, frozen=True, kw_only=True):
    """Moves two notes to the places of each other, and a third one to a place."""

    note_id: NoteId = NoteId(UUID(int=0))
    member_id: UUID
    moved: NoteId
    place: int

    @property
    def target(self) -> Target:
        return ById(self.member_id, children=("notes",))

    def decide(self, member: Member) -> Decision:
        first, second, *_ = (key for key in member.notes if key != self.moved)
        return [
            NotePinned(note_id=first, place=member.notes[second].place or 0),
            NotePinned(note_id=second, place=member.notes[first].place or 0),
            NotePinned(note_id=self.moved, place=self.place),
        ]


class RemoveOtherNotes(Command, frozen=True, kw_only=True):
    """Removes all notes of a member but one, and rates that."""

    aggregate: ClassVar[Aggregate] = MEMBER

    member_id: UUID
    note_id: NoteId

    @property
    def target(self) -> Target:
        return ById(self.member_id, children=("notes",))

    def decide(self, member: Member) -> Decision:
        others = [NoteRemoved(note_id=key) for key in member.notes if key != self.note_id]
        return [*others, NoteRated(note_id=self.note_id, stars=len(others))]


@pytest.fixture
async def members(model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> WriteModel:
    monkeypatch.setitem(AGGREGATES, MEMBER.name, MEMBER)
    await model.pool.execute(TABLES)
    return model


async def joined(model: WriteModel, phone: str | None = "+49 30 1") -> UUID:
    join = Join(member_id=new_id(), name="Wilhelmina", phone=phone, idempotency_key=str(new_id()))
    return (await model.ask(join)).id


async def audited(model: WriteModel) -> list[object]:
    return [mismatch async for page in Audit(model.pool).run() for mismatch in page]


async def test_personal_data_is_erased_without_code_of_the_aggregate(members: WriteModel) -> None:
    member_id = await joined(members)
    first, second = NoteId(new_id()), NoteId(new_id())
    texts = {first: "Wilhelmina's note", second: "Another by Wilhelmina"}
    await members.ask(AddNotes(member_id=member_id, texts=texts, idempotency_key="k"))
    await members.ask(RateNote(note_id=first))
    await members.assert_tables_are_the_fold_of_the_log()
    await members.ask(RateNote(note_id=first, leave=True))
    dump = await members.dump()
    assert "Wilhelmina" not in dump
    assert "+49" not in dump
    assert await members.rows(
        "select name, phone, secret, erased_at is null as here from members"
    ) == [{"name": "", "phone": None, "secret": None, "here": False}]
    assert await members.rows('select text, "group" from notes order by "group"') == [
        {"text": "", "group": 0},
        {"text": "", "group": 5},
    ]
    await members.assert_tables_are_the_fold_of_the_log()
    assert await audited(members) == []


async def test_a_child_that_the_last_command_adds_is_blank_too(members: WriteModel) -> None:
    member = MEMBER.state(id=new_id(), version=1)
    note = NoteAdded(note_id=NoteId(new_id()), text="Wilhelmina's note")
    left = MEMBER.after(MEMBER.after(member, note, START), MemberLeft(), START)
    assert left.notes[note.note_id].text == ""  # type: ignore[attr-defined]


async def test_a_unique_column_is_free_again_and_the_refusal_is_that_of_the_declaration(
    members: WriteModel,
) -> None:
    for _ in range(2):
        member_id = await joined(members)
        again = Join(member_id=new_id(), name="Ada", phone="+49 30 1")
        assert await members.refused(again) == PhoneTaken()
        note_id = NoteId(new_id())
        await members.ask(AddNotes(member_id=member_id, texts={note_id: "x"}))
        await members.ask(RateNote(note_id=note_id, leave=True))
    assert await audited(members) == []


async def noted(model: WriteModel, member_id: UUID, *texts: str) -> list[NoteId]:
    notes = {NoteId(new_id()): text for text in texts}
    await model.ask(AddNotes(member_id=member_id, texts=notes))
    return list(notes)


async def test_a_child_can_be_removed(members: WriteModel) -> None:
    member_id = await joined(members)
    first, second = await noted(members, member_id, "a", "b")
    assert (await members.ask(RemoveNote(note_id=first, idempotency_key="k"))).version == 4
    assert await members.rows("select id from notes") == [{"id": second}]
    assert (await members.ask(RemoveNote(note_id=first, idempotency_key="k"))).version == 4
    await members.assert_tables_are_the_fold_of_the_log()
    await members.ask(AddNotes(member_id=member_id, texts={first: "again"}))
    await members.assert_tables_are_the_fold_of_the_log()
    assert await audited(members) == []


async def test_the_command_that_removes_a_child_may_end_the_aggregate(members: WriteModel) -> None:
    [first, _] = await noted(members, await joined(members), "a", "Wilhelmina's note")
    await members.ask(RemoveNote(note_id=first, leave=True))
    assert await members.rows("select text from notes") == [{"text": ""}]
    assert "Wilhelmina" not in await members.dump()
    await members.assert_tables_are_the_fold_of_the_log()
    assert await audited(members) == []


async def test_a_command_on_an_aggregate_sees_the_children_that_it_asks_for(
    members: WriteModel,
) -> None:
    member_id = await joined(members)
    await noted(members, await joined(members, phone=None), "of another")
    _, second, _ = await noted(members, member_id, "a", "b", "c")
    await members.ask(PinNote(note_id=second, place=7))
    await members.ask(RemoveOtherNotes(member_id=member_id, note_id=second))
    rows = await members.rows(
        'select id, "group", place from notes where member_id = $1', member_id
    )
    assert rows == [{"id": second, "group": 2, "place": 7}]
    await members.assert_tables_are_the_fold_of_the_log()
    assert await audited(members) == []


async def test_a_unique_constraint_of_children_has_a_refusal(members: WriteModel) -> None:
    first, second = await noted(members, await joined(members), "a", "b")
    [other] = await noted(members, await joined(members, phone=None), "c")
    for note in (first, other):
        await members.ask(PinNote(note_id=note, place=1))
    assert await members.refused(PinNote(note_id=second, place=1)) == PlaceTaken()
    await members.ask(RemoveNote(note_id=first))
    await members.ask(PinNote(note_id=second, place=1))
    assert await audited(members) == []


@pytest.mark.parametrize("checked", ["immediate", "deferred"])
async def test_one_command_may_exchange_the_unique_values_of_children(
    members: WriteModel, checked: str
) -> None:
    await members.pool.execute(
        "alter table notes drop constraint notes_place_key, add constraint notes_place_key"
        f" unique (member_id, place) deferrable initially {checked}"
    )
    member_id = await joined(members)
    notes = await noted(members, member_id, "a", "b", "c")
    for place, note in enumerate(notes):
        await members.ask(PinNote(note_id=note, place=place))
    swap = SwapPlaces(member_id=member_id, moved=notes[2], place=7, idempotency_key="k")
    await members.ask(swap)
    rows = await members.rows("select id, place from notes order by place")
    assert [(row["id"], row["place"]) for row in rows] == [
        (notes[1], 0), (notes[0], 1), (notes[2], 7)
    ]  # fmt: skip
    before = await members.dump()
    assert (
        await members.refused(SwapPlaces(member_id=member_id, moved=notes[2], place=0))
        == PlaceTaken()
    )
    assert await members.refused(PinNote(note_id=notes[2], place=1)) == PlaceTaken()
    assert await members.dump() == before
    await members.assert_tables_are_the_fold_of_the_log()
    assert await audited(members) == []


def test_every_text_of_a_command_is_in_the_keyed_digest_unless_an_event_declares_it() -> None:
    notes = [AddNotes(member_id=UUID(int=1), texts={NoteId(UUID(int=2)): text}) for text in "ab"]
    digests = [note.request_digest(UUID(int=3)) for note in notes]
    assert digests[0][:32] == digests[1][:32]
    assert digests[0][32:] != digests[1][32:]


class Undeclared(DomainEvent, frozen=True, kw_only=True):
    nickname: str | None = None


class Nested(DomainEvent, frozen=True, kw_only=True):
    note: Note


class PersonalDate(DomainEvent, frozen=True, kw_only=True):
    born: Personal[date]


class PublicName(DomainEvent, frozen=True, kw_only=True):
    name: NonPersonal[str]


class StateWithText(AggregateState, frozen=True, kw_only=True):
    nickname: str = ""


class StateWithoutBase(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID


class StateWithList(AggregateState, frozen=True, kw_only=True):
    sizes: list[int] = msgspec.field(default_factory=list)


class StateWithUnion(AggregateState, frozen=True, kw_only=True):
    size: int | float = 0


class StateWithoutDefault(AggregateState, frozen=True, kw_only=True):
    size: int


class StateWithBlankPhone(AggregateState, frozen=True, kw_only=True):
    phone: Personal[str] = ""


class Nameless(msgspec.Struct, frozen=True):
    size: int


class StateWithNameless(AggregateState, frozen=True, kw_only=True):
    notes: dict[UUID, Nameless] = msgspec.field(default_factory=dict)


PHONE: dict[str, Any] = {"constraint": "members_phone_key", "refusal": PhoneTaken}
MINIMAL: dict[str, Any] = {"events": MemberLeft, "ends_with": (), "unique": (), "children": {}}

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"events": Joined | Undeclared | MemberLeft}, "Undeclared.nickname holds text: declare it"),
    ({"events": Joined | Nested | MemberLeft}, "Nested.note holds text: declare it"),
    ({"events": Joined | PersonalDate | MemberLeft}, "PersonalDate.born is personal"),
    (
        {"events": Joined | PublicName | MemberLeft},
        "`name` is personal in one event and not in another",
    ),
    ({"events": Joined | Note | MemberLeft}, "Note'>, is not derived from DomainEvent"),
    ({"ends_with": (NoteAdded,)}, "ends with NoteAdded, which has personal fields"),
    ({"events": Joined | NoteAdded}, "ends with MemberLeft, which is not one of its events"),
    (
        {"children": {}},
        "Member.notes cannot be a column: its type must be one of Decimal, UUID, bool",
    ),
    (
        {"children": {"nots": Children(table="notes", parent="member_id")}},
        "has no field `nots` of the type",
    ),
    (
        {"children": {"name": Children(table="notes", parent="member_id")}},
        "has no field `name` of the type",
    ),
    (
        MINIMAL | {"state": StateWithNameless, "children": DECLARED["children"]},
        "Nameless, the type of its children, has no field `id`",
    ),
    (MINIMAL | {"state": StateWithoutBase}, "StateWithoutBase, is not derived from AggregateState"),
    (MINIMAL | {"state": StateWithText}, "StateWithText.nickname holds text: declare it"),
    (MINIMAL | {"state": StateWithList}, "StateWithList.sizes cannot be a column"),
    (MINIMAL | {"state": StateWithUnion}, "StateWithUnion.size cannot be a column"),
    (MINIMAL | {"state": StateWithoutDefault}, "StateWithoutDefault.size has no default"),
    (
        {"unique": (UniqueKey(**PHONE, column="fone"),)},
        "Member has no field for the unique constraint members_phone_key",
    ),
    (
        {"unique": (UniqueKey(**PHONE, column="key", source="fone", derive=str.lower),)},
        "Member has no field for the unique constraint members_phone_key",
    ),
    (
        {"unique": (UniqueKey(**PHONE, column="key", source="phone"),)},
        "needs `source` and `derive`",
    ),
    (
        MINIMAL | {"state": StateWithBlankPhone, "unique": DECLARED["unique"]},
        "StateWithBlankPhone.phone is unique, so erased it must be None",
    ),
]


@pytest.mark.parametrize(("declared", "sentence"), MISTAKES, ids=[text for _, text in MISTAKES])
def test_a_mistake_in_a_declaration_is_one_sentence(
    declared: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError) as raised:
        Aggregate(**{**DECLARED, **declared})
    assert sentence in str(raised.value)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


class Tree(DomainEvent, frozen=True, kw_only=True):
    size: int
    left: Tree | None = None
    others: list[Tree] = msgspec.field(default_factory=list)


class Odd(msgspec.Struct, frozen=True):
    by_size: dict[int, Even]


class Even(msgspec.Struct, frozen=True):
    pair: tuple[Odd, ...] | int


class Mutual(DomainEvent, frozen=True, kw_only=True):
    even: Even


class Outline(DomainEvent, frozen=True, kw_only=True):
    title: NonPersonal[str]
    parts: list[Outline] = msgspec.field(default_factory=list)


class Kin(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    parent: Kin | None = None


class StateWithKin(AggregateState, frozen=True, kw_only=True):
    notes: dict[UUID, Kin] = msgspec.field(default_factory=dict)


class StateInItself(AggregateState, frozen=True, kw_only=True):
    other: StateInItself | None = None


class Graft(Command, frozen=True, kw_only=True):
    aggregate: ClassVar[Aggregate] = MEMBER

    tree: Tree
    outline: Outline


@pytest.mark.parametrize("event", [Tree, Mutual])
def test_an_event_may_contain_itself(event: type[DomainEvent]) -> None:
    assert (
        Aggregate(**DECLARED | MINIMAL | {"state": AggregateState, "events": event}).personal == ()
    )


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"events": Outline}, "Outline.parts holds text: declare it"),
        (
            {"state": StateWithKin, "children": DECLARED["children"]},
            "Kin.parent cannot be a column",
        ),
        ({"state": StateInItself}, "StateInItself.other cannot be a column"),
    ],
)
def test_what_contains_itself_is_declared_as_everything_else(
    declared: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        Aggregate(**DECLARED | MINIMAL | {"state": AggregateState} | declared)


def test_the_texts_of_a_command_with_values_that_contain_themselves_are_in_the_keyed_digest() -> (
    None
):
    tree = Tree(size=1, others=[Tree(size=2)])
    grafts = [Graft(tree=tree, outline=Outline(title="a", parts=[Outline(title=t)])) for t in "ab"]
    digests = [graft.request_digest(UUID(int=3)) for graft in grafts]
    assert digests[0][:32] == digests[1][:32]
    assert digests[0][32:] != digests[1][32:]


@pytest.mark.parametrize("attribute", ["name", "plural", "table"])
def test_no_two_aggregates_have_the_same_name(attribute: str) -> None:
    twin = msgspec.structs.replace(PRODUCT, **{attribute: getattr(USER, attribute)})
    assert set(registry(USER, PRODUCT)) == {"user", "product"}
    with pytest.raises(TypeError, match=f"Two aggregates have the {attribute} user"):
        registry(USER, twin)
