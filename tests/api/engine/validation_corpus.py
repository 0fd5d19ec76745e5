"""A schema for which every rule of GraphQL can be broken, and documents that break each."""

from __future__ import annotations

from typing import Final

from graphql import build_schema

ZOO: Final = build_schema("""
    directive @defer(if: Boolean! = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
    directive @stream(if: Boolean! = true, label: String, initialCount: Int! = 0) on FIELD
    directive @mark(label: String!) on FIELD | QUERY | VARIABLE_DEFINITION | FRAGMENT_DEFINITION
    type Query {
      pet(name: String!, kind: Kind! = CAT, older: Int): Pet
      pets(first: Int! = 10, like: [Wanted!], one: One, grid: [[Int!]], wanted: Wanted): [Pet!]!
      cat: Cat dog: Dog being: Being stone: Stone number: Int anything(value: Json): Json
    }
    type Subscription { born(kind: Kind): Being died: Being }
    interface Being { name: String! age(unit: Unit = YEARS): Int friend: Being }
    union Pet = Cat | Dog
    type Cat implements Being {
      name: String! age(unit: Unit = YEARS): Int friend: Being lives: Int! sound: String
    }
    type Dog implements Being {
      name: String! age(unit: Unit = YEARS): Int friend: Being lives: String sound: String!
    }
    type Stone { weight: Int name: String! }
    enum Kind { CAT DOG }
    enum Unit { YEARS DAYS }
    input Wanted { name: String! kind: Kind! = CAT ages: [Int!] parent: Wanted one: One }
    input One @oneOf { name: String age: Int }
    scalar Json
""")

WRONG: Final = {
    "ExecutableDefinitionsRule": ["type New { a: Int } { number }", "{ number } scalar New"],
    "KnownOperationTypesRule": ["mutation { number }"],
    "UniqueOperationNamesRule": ["query A { number } query A { number }"],
    "LoneAnonymousOperationRule": ["{ number } { number }", "{ number } query A { number }"],
    "SingleFieldSubscriptionsRule": [
        "subscription { born { name } died { name } }",
        "subscription { __typename }",
        "subscription { born @skip(if: false) { name } }",
        "subscription($a: Boolean!) { ... @include(if: $a) { born { name } } }",
        "subscription { ...F } fragment F on Subscription { born { name } died { name } }",
    ],
    "KnownTypeNamesRule": [
        "query($a: Nobody) { number }",
        "query($a: [Nobody!]) { pets(first: $a) { __typename } }",
        "{ ... on Nobody { number } }",
        "{ ...F } fragment F on Nobody { number }",
    ],
    "FragmentsOnCompositeTypesRule": [
        "{ ... on Kind { number } }",
        "{ ...F } fragment F on Wanted { number }",
        "{ number ...F } fragment F on Int { number }",
    ],
    "VariablesAreInputTypesRule": ["query($a: Cat) { pet(name: $a) { __typename } }"],
    "ScalarLeafsRule": ["{ number { a } }", "{ cat }", "{ __typename { a } }", "{ pets }"],
    "FieldsOnCorrectTypeRule": [
        "{ nothing }",
        "{ pet(name: $a) { name } }",
        "{ being { lives } }",
        "{ cat { __schema { description } } }",
        "{ cat { ...F } } fragment F on Being { lives }",
        "{ cat { ... on Being { ... { lives } } } }",
    ],
    "UniqueFragmentNamesRule": [
        "{ ...F } fragment F on Query { number } fragment F on Query { number }"
    ],
    "KnownFragmentNamesRule": ["{ ...F }", "{ ...F } fragment F on Query { ...G }"],
    "NoUnusedFragmentsRule": [
        "{ number } fragment F on Query { number }",
        "{ ...F } fragment F on Query { number } fragment G on Query { ...F }",
    ],
    "PossibleFragmentSpreadsRule": [
        "{ cat { ... on Dog { name } } }",
        "{ cat { ...F } } fragment F on Dog { name }",
        "{ being { ... on Stone { name } } }",
        "{ pet(name: 1) { ... on Stone { name } } }",
        "{ being { ...F } dog { ...F } } fragment F on Cat { name }",
    ],
    "NoFragmentCyclesRule": [
        "{ ...F } fragment F on Query { number ...F }",
        "{ ...F } fragment F on Query { number ...G } fragment G on Query { number ...F }",
        "{ cat { ...F } } fragment F on Being { friend { ...F } }",
    ],
    "UniqueVariableNamesRule": [
        "query($a: Int, $a: Int) { pets(first: $a) { __typename } }",
        "query($a: String!, $a: String!) { pet(name: $a) { __typename } }",
    ],
    "NoUndefinedVariablesRule": [
        "{ pet(name: $a) { __typename } }",
        "query($a: String!) { pet(name: $a, older: $b) { __typename } }",
        "{ number @skip(if: $a) }",
        '{ pets(wanted: {name: "a", ages: [1, $a]}) { __typename } }',
        "{ ...F } fragment F on Query { pet(name: $a) { __typename } }",
        "{ anything(value: [$a]) }",
        "{ anything(value: {a: {b: $a}}) }",
    ],
    "NoUnusedVariablesRule": [
        "query($a: Int) { number }",
        "query($a: String!, $b: Int) { pet(name: $a) { __typename } }",
    ],
    "KnownDirectivesRule": [
        "{ number @unknown }",
        "query @skip(if: true) { number }",
        "{ ... @mark(label: 1) { number } }",
        "query($a: Int! @include(if: true)) { pets(first: $a) { __typename } }",
        "{ ...F } fragment F on Query @skip(if: true) { number }",
    ],
    "UniqueDirectivesPerLocationRule": [
        "{ number @skip(if: true) @skip(if: true) }",
        "{ ... @include(if: true) @skip(if: true) @include(if: true) { number } }",
        '{ number @mark(label: "a") @mark(label: "a") }',
    ],
    "DeferStreamDirectiveOnRootField": ["subscription { ... @defer { born { name } } }"],
    "DeferStreamDirectiveOnValidOperationsRule": [
        "subscription { born { ... @defer { name } } }",
    ],
    "DeferStreamDirectiveLabel": [
        '{ ... @defer(label: "a") { number } ... @defer(label: "a") { number } }',
        "query($a: String) { ... @defer(label: $a) { number } }",
    ],
    "StreamDirectiveOnListField": ["{ number @stream }"],
    "KnownArgumentNamesRule": [
        "{ number(a: 1) }",
        '{ pet(name: "a", nobody: 1) { __typename } }',
        "{ number @skip(if: true, unless: true) }",
        "{ __typename(a: 1) }",
    ],
    "UniqueArgumentNamesRule": [
        "{ pets(first: 1, first: 1) { __typename } }",
        "{ number @skip(if: true, if: true) }",
    ],
    "ValuesOfCorrectTypeRule": [
        "{ pet(name: 1) { __typename } }",
        "{ pet(name: null) { __typename } }",
        '{ pet(name: "a", kind: BIRD) { __typename } }',
        '{ pet(name: "a", kind: "CAT") { __typename } }',
        '{ pets(first: "1") { __typename } }',
        "{ pets(wanted: {kind: CAT}) { __typename } }",
        '{ pets(wanted: {name: "a", unknown: 1}) { __typename } }',
        '{ pets(wanted: {name: "a", ages: [1, null]}) { __typename } }',
        "{ pets(one: {}) { __typename } }",
        '{ pets(one: {name: "a", age: 1}) { __typename } }',
        "{ pets(grid: [[1], [true]]) { __typename } }",
        "{ number @skip(if: 1) }",
        'query($a: Int = "1") { pets(first: $a) { __typename } }',
        "query($a: Int! = null) { pets(first: $a) { __typename } }",
        'query($a: Wanted = {name: "a", unknown: 1}) { pets(wanted: $a) { __typename } }',
    ],
    "ProvidedRequiredArgumentsRule": [
        "{ pet { __typename } }",
        "{ pet(older: 1) { __typename } }",
        "{ number @skip }",
        "{ number @mark }",
    ],
    "VariablesInAllowedPositionRule": [
        "query($a: Int!) { pet(name: $a) { __typename } }",
        "query($a: String) { pet(name: $a) { __typename } }",
        "query($a: String = null) { pet(name: $a) { __typename } }",
        "query($a: Boolean) { number @skip(if: $a) }",
        "query($a: Int) { pets(like: $a) { __typename } }",
        "query($a: Int) { pets(grid: [[$a]]) { __typename } }",
        "query($a: [Int]) { pets(grid: [$a]) { __typename } }",
        'query($a: String) { pets(wanted: {name: "a", ages: [1], kind: $a}) { __typename } }',
        "query($a: String) { pets(wanted: {name: $a}) { __typename } }",
        "query($a: String) { pets(one: {name: $a}) { __typename } }",
        'query($a: String) { pets(wanted: {name: "a", one: {name: $a}}) { __typename } }',
        "query($a: Int) { ...F } fragment F on Query { pet(name: $a) { __typename } }",
    ],
    "OverlappingFieldsCanBeMergedRule": [
        "{ a: cat { name } a: dog { name } }",
        "{ cat { name: lives name } }",
        '{ a: pet(name: "a") { __typename } a: pet(name: "b") { __typename } }',
        '{ a: pet(name: "a") { __typename } a: pet(name: "a", older: 1) { __typename } }',
        "{ cat { age age(unit: DAYS) } }",
        "query($a: Unit, $b: Unit) { cat { age(unit: $a) age(unit: $b) } }",
        '{ pet(name: "a") { ... on Cat { lives } ... on Dog { lives } } }',
        '{ pet(name: "a") { ... on Cat { sound } ... on Dog { sound } } }',
        "{ cat { friend { a: name } friend { a: __typename } } }",
        "{ cat { friend { a: age } ... on Being { friend { a: age(unit: DAYS) } } } }",
        "{ cat { ...F name: lives } } fragment F on Cat { name }",
        "{ cat { ...F ...G } } fragment F on Cat { a: name } fragment G on Being { a: age }",
        "{ cat { ...F } } fragment F on Cat { a: name ...G } fragment G on Being { a: age }",
        "{ ...F cat { friend { a: age } } } fragment F on Query { cat { friend { a: name } } }",
        "{ being { ... { a: name } ... { a: age } } }",
        "{ cat { ... on Cat { friend { friend { a: name } } } ... { friend { friend { a: age } } } } }",
        '{ pet(name: "a") { ... on Cat { friend { a: name } } ... on Dog { friend { a: age } } } }',
        "{ ...F } fragment F on Query { ... { cat { a: name } } ... { cat { a: age } } }",
    ],
    "UniqueInputFieldNamesRule": [
        '{ pets(wanted: {name: "a", name: "a"}) { __typename } }',
        '{ pets(like: [{name: "a"}, {name: "b", name: "b"}]) { __typename } }',
        '{ pets(wanted: {name: "a", parent: {name: "a", name: "b"}}) { __typename } }',
        'query($a: Wanted = {name: "a", name: "b"}) { pets(wanted: $a) { __typename } }',
        "{ anything(value: {a: 1, a: 2}) }",
        "{ anything(value: [{a: 1, a: 2}]) }",
    ],
    "MaxIntrospectionDepthRule": [
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    ],
}
"""Invalid documents by the rule they break; rules that a validator could easily miss have more."""

RIGHT: Final = [
    "{ dog { ... on Being { ... on Cat { name } } } }",
    "{ number }",
    "{ __typename a: number b: number }",
    "query Named { cat { name lives friend { name ... on Cat { lives } } } }",
    'query { pet(name: "a", kind: DOG, older: null) { ... on Cat { name lives } ... on Dog { name } } }',
    "query($a: String!, $b: Kind!) { pet(name: $a, kind: $b) { ...F } } fragment F on Being { name }",
    "query($a: Int = 5) { pets(first: $a) { ... on Being { age(unit: DAYS) } } }",
    "query($a: Int) { pets(first: $a) { __typename } }",
    "query($a: Boolean!) { number @skip(if: $a) ... @include(if: true) @skip(if: $a) { cat { name } } }",
    "query($a: Boolean! = true) { ...F @include(if: $a) } fragment F on Query { number }",
    'query($a: Int!, $b: Kind) { pets(like: [{name: "a", ages: [1, $a], kind: $b}]) { __typename } }',
    "query($a: Wanted) { pets(wanted: $a, grid: [[1, 2], [3]]) { __typename } }",
    'query($a: Wanted = {name: "a", parent: {name: "b", ages: 7}}) { pets(wanted: $a) { __typename } }',
    "query($a: Json) { anything(value: $a) }",
    "{ anything(value: 1.5) }",
    "subscription($a: Kind) { born(kind: $a) { name } }",
    "{ cat { name name age(unit: DAYS) age(unit: DAYS) friend { name } friend { age } } }",
    "{ cat { ...F ...G } } fragment F on Cat { name ...G } fragment G on Being { name friend { name } }",
    "{ ...F cat { friend { a: age } } } fragment F on Query { cat { friend { a: age b: name } } }",
]
"""Usual valid documents."""

UNUSUAL: Final = [
    "query A { number } query B { number }",
    'query @mark(label: "a") { number }',
    '{ number @mark(label: "a") }',
    'query($a: Int! @mark(label: "a")) { pets(first: $a) { __typename } }',
    '{ ...F } fragment F on Query @mark(label: "a") { number }',
    "{ __schema { description } }",
    "subscription { ... { born { name } } }",
    '{ pet(name: "a") { ... on Cat { a: name } ... on Dog { a: sound } } }',
    '{ pets(one: {name: "a"}) { __typename } }',
    "query($a: String!) { pets(one: {name: $a}) { __typename } }",
    "{ anything(value: {a: 1}) }",
    '{ pets(like: {name: "a"}) { __typename } }',
    "{ ... @defer { number } }",
]
"""Valid documents that only graphql-core recognises."""
