"""Prints the software bill of materials (CycloneDX, JSON) of Tandem and all packages that it requires.

    .venv/bin/python .ci/setup/sbom.py > sbom.json

Python packages are those that the metadata of the installed packages requires on this machine, for
Tandem with the extras `embedded`, `otel` and `zstd`; npm packages are the locked ones that GraphiQL is
bundled from. It contains no URL, path or time, so that the same packages give the same text.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
SHIPPED = ("embedded", "otel", "zstd")
LOCK = PROJECT / "api" / "graphiql" / "package-lock.json"


def closure(name: str, extras: tuple[str, ...]) -> dict[str, set[str]]:
    """Returns the names of the required packages, each with the names of its own requirements."""
    required: dict[str, set[str]] = {}
    waiting = [(canonicalize_name(name), frozenset(extras))]
    seen = set()
    while waiting:
        package = waiting.pop()
        if package not in seen:
            seen.add(package)
            requirements = list(required_by(*package))
            required.setdefault(package[0], set()).update(
                canonicalize_name(r.name) for r in requirements
            )
            waiting += [(canonicalize_name(r.name), frozenset(r.extras)) for r in requirements]
    return required


def required_by(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def bill() -> Bom:
    packages = closure("tandem", SHIPPED)
    components = {name: python_component(distribution(name)) for name in packages}
    bom = Bom(components=[c for name, c in components.items() if name != "tandem"])
    bom.metadata.component = components["tandem"]
    for name, required in packages.items():
        bom.register_dependency(components[name], [components[other] for other in required])
    bundled = list(npm_components(json.loads(LOCK.read_text())))
    bom.components.update(bundled)
    bom.register_dependency(components["tandem"], bundled)
    return bom


def python_component(package: Distribution) -> Component:
    name = canonicalize_name(package.metadata["Name"])
    is_tandem = name == "tandem"
    return Component(
        name=name,
        version=package.version,
        type=ComponentType.APPLICATION if is_tandem else ComponentType.LIBRARY,
        bom_ref=f"{name}@{package.version}",
        purl=None if is_tandem else PackageURL("pypi", name=name, version=package.version),
        licenses=[LicenseFactory().make_from_string(stated) for stated in licenses_of(package)],
    )


def licenses_of(package: Distribution) -> list[str]:
    """Returns an SPDX expression or a name of one line; some packages state their whole license."""
    expression = package.metadata.get("License-Expression")
    license_text = (expression or package.metadata.get("License") or "").strip()
    return [license_text] if license_text and "\n" not in license_text else []


def npm_components(lock: dict[str, dict[str, dict[str, str]]]) -> Iterator[Component]:
    """Yields the bundled packages; build tools such as esbuild are optional or for development."""
    for path, package in lock["packages"].items():
        if path and not (package.get("optional") or package.get("dev")):
            name = path.rpartition("node_modules/")[2]
            group, _, short = name.rpartition("/")
            algorithm, _, digest = package["integrity"].partition("-")
            assert algorithm == "sha512", name
            yield Component(
                name=short,
                group=group or None,
                version=package["version"],
                type=ComponentType.LIBRARY,
                bom_ref=f"npm:{path.removeprefix('node_modules/')}@{package['version']}",
                purl=PackageURL("npm", namespace=group, name=short, version=package["version"]),
                hashes=[
                    HashType(alg=HashAlgorithm.SHA_512, content=base64.b64decode(digest).hex())
                ],
            )


def printed(bom: Bom) -> str:
    """Returns JSON without a time, whose serial number is derived from its content."""
    bom.serial_number = uuid.UUID(int=0)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    del content["metadata"]["timestamp"]
    name = json.dumps(content, sort_keys=True)
    content["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, name).urn
    for tool in content["metadata"].get("tools", {}).get("components", []):
        tool.pop("externalReferences", None)
    return json.dumps(content, indent=2)


if __name__ == "__main__":
    try:
        print(printed(bill()))
    except PackageNotFoundError as missing:
        raise SystemExit(f"{missing.name} is not installed: run make .venv/.test first.") from None
