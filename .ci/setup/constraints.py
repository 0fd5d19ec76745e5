"""Prints a new constraints.txt: the newest versions that pyproject.toml allows, exact and with hashes.

    .venv/bin/python .ci/setup/constraints.py > constraints.new && mv constraints.new constraints.txt

pip's resolver chooses the versions, as for an empty environment with the oldest supported Python.
Requirements are then followed for every supported Python and system, so that the file has the
packages of all of them. Each entry has the hashes of all wheels of its release that fit one of these,
as the index that pip is configured for lists them. The file contains no URL.
`--keep` keeps the versions of constraints.txt and only writes their hashes again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from pip._internal.commands import create_command
from pip._internal.index.collector import parse_links
from pip._internal.models.link import Link
from requirements import BUILD, direct

HEAD = """\
# Every version that is installed, also for building, with the hashes of its wheels. Written by
# .ci/setup/constraints.py, which says how.
"""
PROJECT = Path(__file__).parents[2]
EXTRAS = ["embedded", "otel", "zstd", "dev", BUILD]
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
RELEASES = ("0", "99")
"""The first release of a Python, and one after all others: some requirements are for early releases."""
SYSTEMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"))
WITHOUT_ALL_WHEELS = ("darwin", "x86_64")
"""cryptography has no wheels for Intel Macs any more. The hashes of all others are in the file."""
OLD_NAMES = ("manylinux1", "manylinux2010", "manylinux2014", "musllinux_1_1", "musllinux_1_2")
NEWEST_GLIBC, NEWEST_MACOS = 42, (15, 0)


def main(arguments: list[str]) -> None:
    requirements = [Requirement(line) for line in [*direct(EXTRAS, PROJECT), "pip"]]
    pins = {} if arguments != ["--keep"] else dict(pinned(PROJECT / "constraints.txt"))
    print(HEAD, end="")
    for name, (version, pythons) in sorted(resolve_all(requirements, pins).items()):
        hashes = hashes_of(name, version, pythons)
        print(" \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{h}" for h in hashes)]))


def pinned(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        name, equals, version = line.split(" ")[0].partition("==")
        if equals:
            yield canonicalize_name(name), version


def resolve_all(
    requirements: list[Requirement], pins: dict[str, str]
) -> dict[str, tuple[str, SpecifierSet]]:
    """Resolves until each requirement of a supported Python and system has a version.

    Returns the versions by name, each with the Pythons that it is for.
    """
    while True:
        packages = resolve([*map(without_marker, requirements)], pins)
        missing = {str(r): r for r in required(requirements, packages) if key(r) not in packages}
        if not missing:
            return {
                name: (metadata["version"], SpecifierSet(metadata.get("requires_python") or ""))
                for name, metadata in packages.items()
            }
        requirements = [*requirements, *missing.values()]


def without_marker(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def resolve(requirements: list[str], pins: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Returns the metadata of the packages that pip chooses, by name."""
    constraints = "".join(f"{name}=={version}\n" for name, version in pins.items())
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
            *("--python-version", "3.11", "--only-binary", ":all:"),
            *("--constraint", "/dev/stdin", "--report", "-", *requirements),
        ],
        input=constraints.encode(),
        check=True,
        stdout=subprocess.PIPE,
    )
    chosen = [entry["metadata"] for entry in json.loads(report.stdout)["install"]]
    return {canonicalize_name(metadata["name"]): metadata for metadata in chosen}


def required(
    requirements: list[Requirement], packages: dict[str, dict[str, Any]]
) -> Iterator[Requirement]:
    """Yields the direct and indirect requirements that apply to a supported Python and system."""
    for environment in environments():
        seen: set[tuple[str, str]] = set()
        waiting = [(requirement, {""}) for requirement in requirements]
        while waiting:
            requirement, extras = waiting.pop()
            if not applies(requirement, environment, extras):
                continue
            yield requirement
            features = {(key(requirement), extra) for extra in (*requirement.extras, "")}
            if features - seen and key(requirement) in packages:
                seen |= features
                lines = packages[key(requirement)].get("requires_dist", [])
                waiting += [(Requirement(line), {*requirement.extras, ""}) for line in lines]


def applies(requirement: Requirement, environment: dict[str, str], extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate(environment | {"extra": e}) for e in extras)


def environments() -> Iterator[dict[str, str]]:
    for system, machine in SYSTEMS:
        for major, minor in PYTHONS:
            for release in RELEASES:
                yield {
                    "implementation_name": "cpython",
                    "platform_python_implementation": "CPython",
                    "os_name": "posix",
                    "sys_platform": system,
                    "platform_system": system.capitalize(),
                    "platform_machine": machine,
                    "python_version": f"{major}.{minor}",
                    "python_full_version": f"{major}.{minor}.{release}",
                    "implementation_version": f"{major}.{minor}.{release}",
                }


def key(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def hashes_of(name: str, version: str, pythons: SpecifierSet) -> list[str]:
    """Returns the hashes of the release's wheels that fit a supported Python and system."""
    wheels = wheels_of(name, version)
    fitting: set[str] = set()
    for python in PYTHONS:
        if f"{python[0]}.{python[1]}.0" not in pythons:
            continue
        for system, machine in SYSTEMS:
            tags = frozenset(tags_of(python, platforms(system, machine)))
            matching = {
                hashed for wheel, hashed in wheels.items() if parse_wheel_filename(wheel)[3] & tags
            }
            if not matching and (system, machine) != WITHOUT_ALL_WHEELS:
                raise SystemExit(
                    f"{name} {version} has no wheel for Python {python[0]}.{python[1]} on {system}"
                    f" {machine}, and only wheels are installed: limit it to an earlier release."
                )
            fitting |= matching
    return sorted(fitting)


def platforms(system: str, machine: str) -> list[str]:
    if system == "darwin":
        return list(mac_platforms(NEWEST_MACOS, machine))
    names = [*OLD_NAMES, *(f"manylinux_2_{glibc}" for glibc in range(5, NEWEST_GLIBC))]
    return [f"{name}_{machine}" for name in names]


def tags_of(python: tuple[int, int], names: list[str]) -> Iterator[Tag]:
    yield from cpython_tags(python, platforms=names)
    yield from compatible_tags(python, f"cp{python[0]}{python[1]}", names)


def wheels_of(name: str, version: str) -> dict[str, str]:
    """Returns the hashes of a release's wheels by file name, from every index that pip is configured for.

    pip has no command for that, so this uses internals of the pip that constraints.txt pins.
    """
    command: Any = create_command("index")
    options, _ = command.parse_args(["versions", name])
    wheels = {}
    with command._build_session(options) as session:
        finder = command._build_package_finder(options, session)
        for location in finder.search_scope.get_index_urls_locations(name):
            page = finder._link_collector.fetch_response(Link(location))
            for link in parse_links(page) if page else ():
                if not is_wheel_of(link.filename, name, version) or link.hash_name != "sha256":
                    continue
                if wheels.setdefault(link.filename, link.hash) != link.hash:
                    raise SystemExit(f"Two indexes have different files named {link.filename}.")
    return wheels


def is_wheel_of(file: str, name: str, version: str) -> bool:
    try:
        project, release, _, _ = parse_wheel_filename(file)
    except (InvalidWheelFilename, InvalidVersion):
        return False
    return (project, release) == (name, Version(version))


if __name__ == "__main__":
    main(sys.argv[1:])
