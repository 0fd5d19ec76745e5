"""Tests of docs/kubernetes: valid by the schemas of Kubernetes, and in agreement with what Tandem does.

`tests/test_deployment.py` runs the command lines and their probes.
"""

from __future__ import annotations

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from api.settings import Settings
from tests import manifests
from tests.manifests import BASE, CONTAINERS, FOLDER, PODS, PROBES, SECRETS, WORKLOADS, of_kind
from tests.test_deployment import FOREIGN_VARIABLES, instructions
from tests.test_deployment import SETTINGS as EXISTING

OLDEST, NEWEST = "1.30", "1.37"
"""Versions of Kubernetes. The action `sleep` of preStop is enabled from 1.30 on."""
DEPLOYED = set(of_kind("Deployment"))
TIME_TO_CLOSE = 10
"""Seconds after SHUTDOWN_TIMEOUT, as in compose.yaml."""


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(
    "manifest", [*BASE, *SECRETS], ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_each_manifest_is_valid_without_unknown_fields(
    manifest: dict[str, Any], version: str
) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_every_file_belongs_to_a_kustomization_and_is_linked() -> None:
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")}
    listed = {f"base/{path.name}" for path in (FOLDER / "base").glob("*.yaml")}
    [base] = manifests.read("base/kustomization.yaml")
    assert listed == {f"base/{name}" for name in ("kustomization.yaml", *base["resources"])}
    assert files - listed == {
        "kustomization.yaml",
        "next/kustomization.yaml",
        "secrets.example.yaml",
    }
    page = (FOLDER / "README.md").read_text()
    for file in files - listed:
        assert file in page


def test_every_role_is_deployed_and_the_database_is_migrated() -> None:
    assert {"api", "relay", "projector"} == DEPLOYED
    assert {name: container["args"] for name, container in CONTAINERS.items()} == {
        name: [name] for name in (*DEPLOYED, "migrate")
    }
    assert instructions("ENTRYPOINT") == ['["tandem"]']
    assert not [container for container in CONTAINERS.values() if "command" in container]


def test_every_variable_is_a_setting_and_every_source_of_variables_exists() -> None:
    named = set(manifests.SETTINGS)
    [overlay] = manifests.read("kustomization.yaml")
    for generator in overlay["configMapGenerator"]:
        assert generator["name"] in of_kind("ConfigMap")
        named |= {literal.partition("=")[0] for literal in generator["literals"]}
    for secret in SECRETS:
        named |= secret["stringData"].keys()
    assert named - FOREIGN_VARIABLES <= EXISTING
    values = {**manifests.SETTINGS, **SECRETS[1]["stringData"], "host": "0.0.0.0"}
    Settings(**{name.lower(): value for name, value in values.items()})
    sources = {f"secretRef {secret['metadata']['name']}" for secret in SECRETS}
    sources |= {f"configMapRef {name}" for name in of_kind("ConfigMap")}
    for name, container in CONTAINERS.items():
        used = {
            f"{kind} {reference['name']}"
            for source in container["envFrom"]
            for kind, reference in source.items()
        }
        assert used <= sources
        assert ("secretRef authentication" in used) == (name == "api")
        assert "env" not in container


def test_each_probe_and_service_leads_to_a_port_that_the_process_serves() -> None:
    served = {"health": int(manifests.SETTINGS["HEALTH_PORT"])}
    [defaults] = [line for line in instructions("ENV") if "PORT=" in line]
    served["http"] = int(dict(word.split("=") for word in defaults.split())["PORT"])
    for name in DEPLOYED:
        ports = {port["name"]: port["containerPort"] for port in CONTAINERS[name]["ports"]}
        assert ports == {port: served[port] for port in ports}
        assert ("http" in ports) == (name == "api")
        paths = [CONTAINERS[name][probe]["httpGet"] for probe in PROBES]
        assert [path["path"] for path in paths] == ["/livez", "/livez", "/readyz"]
        assert {path["port"] for path in paths} == {"health"}
    [service] = of_kind("Service").values()
    assert service["spec"]["selector"] == {"app.kubernetes.io/component": "api"}
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    for policy in of_kind("NetworkPolicy").values():
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= served.keys()


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_a_pod_has_time_to_finish_before_it_is_killed(name: str) -> None:
    waits = CONTAINERS[name].get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
    needed = waits["sleep"]["seconds"] + Settings.model_fields["shutdown_timeout"].default
    assert PODS[name]["terminationGracePeriodSeconds"] >= needed + TIME_TO_CLOSE
    assert bool(waits["sleep"]["seconds"]) == (name == "api")  # only there do connections come in


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_pod_has_no_more_rights_than_it_needs(name: str) -> None:
    pod, container = PODS[name], CONTAINERS[name]
    [user] = instructions("USER")
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["serviceAccountName"] in of_kind("ServiceAccount")
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}
    assert "volumes" not in pod


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_one_pod_at_a_time_is_replaced_or_evicted(name: str) -> None:
    spec = WORKLOADS[name]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = of_kind("PodDisruptionBudget")[name]["spec"]
    assert budget["maxUnavailable"] == 1
    labels = spec["template"]["metadata"]["labels"]
    chosen = [budget["selector"], spec["selector"]]
    chosen += [each["labelSelector"] for each in PODS[name]["topologySpreadConstraints"]]
    for selector in chosen:
        assert selector["matchLabels"].items() <= labels.items()
    scaled = [each["spec"] for each in of_kind("HorizontalPodAutoscaler").values()]
    assert [each["scaleTargetRef"]["name"] for each in scaled] == ["api"]
    least = scaled[0]["minReplicas"] if name == "api" else spec["replicas"]
    assert least == 2
    assert ("replicas" in spec) == (name != "api")


def test_the_projector_of_the_next_version_is_a_deployment_with_pods_of_its_own() -> None:
    [overlay] = manifests.read("next/kustomization.yaml")
    [patch] = overlay["patches"]
    deployment = yaml.safe_load(yaml.safe_dump(WORKLOADS[patch["target"]["name"]]))
    present = WORKLOADS["projector"]["spec"]["selector"]
    for operation in yaml.safe_load(patch["patch"]):
        assert operation["op"] == "replace"
        *path, last = operation["path"].strip("/").split("/")
        place = deployment
        for key in path:
            place = place[key]
        assert last in place
        place[last] = operation["value"]
    kubernetes_validate.validate(deployment, NEWEST, strict=True)
    assert deployment["metadata"]["name"] == "projector-next"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert not present["matchLabels"].items() <= labels.items()
