"""The manifests of docs/kubernetes, as the kustomization there puts them together."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.processes import ROOT

FOLDER = ROOT / "docs/kubernetes"

Manifest = dict[str, Any]


def read(file: str) -> list[Manifest]:
    """Returns the documents of a file."""
    return list(yaml.safe_load_all((FOLDER / file).read_text()))


[_KUSTOMIZATION] = read("base/kustomization.yaml")
BASE = [manifest for file in _KUSTOMIZATION["resources"] for manifest in read(f"base/{file}")]
SECRETS = read("secrets.example.yaml")


def of_kind(*kinds: str) -> dict[str, Manifest]:
    """Returns the manifests of these kinds in the base, by name."""
    return {each["metadata"]["name"]: each for each in BASE if each["kind"] in kinds}


WORKLOADS = of_kind("Deployment", "Job")
PODS: dict[str, Manifest] = {
    name: each["spec"]["template"]["spec"] for name, each in WORKLOADS.items()
}
CONTAINERS: dict[str, Manifest] = {name: pod["containers"][0] for name, pod in PODS.items()}
SETTINGS: dict[str, str] = of_kind("ConfigMap")["settings"]["data"]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def probed(words: list[str]) -> list[tuple[str, str]]:
    """Returns the paths of the probes of a command line, each with the name of its port."""
    gets = [
        container[probe]["httpGet"]
        for container in CONTAINERS.values()
        for probe in PROBES
        if container["args"] == words and probe in container
    ]
    return [(get["path"], get["port"]) for get in gets]
