"""The files for containers: their settings exist, their times fit, and the steps of the Dockerfile work."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixyproxy.settings import Settings
from tests.fixtures.certificates import certificate
from tests.fixtures.requirements import missing

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
NAMES = {str(field.validation_alias) for field in Settings.model_fields.values()}
GRACE_S = Settings().drain_s + 10


def instructions() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def manifests() -> list[dict[str, Any]]:
    return [document for file in sorted(KUBERNETES.iterdir()) for document in yaml.safe_load_all(file.read_text())]


def pods() -> list[dict[str, Any]]:
    return [document["spec"]["template"]["spec"] for document in manifests() if "template" in document.get("spec", {})]


def test_the_image_runs_without_rights_and_drains() -> None:
    last = instructions()[-1]
    assert ("USER", "pixyproxy") in last
    assert ("STOPSIGNAL", "SIGTERM") in last
    assert [word for word, _ in last][-3:] == ["HEALTHCHECK", "ENTRYPOINT", "CMD"]
    assert {line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")} == {
        f"!{name}" for word, names in instructions()[0] if word == "COPY" for name in names.split()[:-1]
    }


def test_compose_knows_every_setting_and_leaves_time_to_drain() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = compose["services"]["pixyproxy"]
    assert set(service["environment"]) - NAMES == set()
    assert service["read_only"]
    assert service["stop_grace_period"] == "6m"
    assert GRACE_S < 360
    assert set(compose["services"]) == {"migrate", "pixyproxy", "nginx", "mariadb", "seaweedfs", "bucket", "valkey"}
    subnet = compose["networks"]["default"]["ipam"]["config"][0]["subnet"]
    assert service["environment"]["PIXYPROXY_FORWARDED_ALLOW_IPS"] == subnet
    needed = {service for one in compose["services"].values() for service in one.get("depends_on", ())}
    assert needed <= set(compose["services"])
    assert json.loads(compose["configs"]["s3"]["content"].replace("${S3_SECRET:?}", "x"))


def test_manifests_know_every_setting_and_leave_time_to_drain() -> None:
    kinds = [document["kind"] for document in manifests()]
    assert sorted(kinds) == ["ConfigMap", "Job", "PodDisruptionBudget", "Secret", "Service", "StatefulSet"]
    for document in manifests():
        assert set(document.get("data", {})) | set(document.get("stringData", {})) <= NAMES
    assert len(pods()) == 2
    for pod in pods():
        [container] = pod["containers"]
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/var/lib/pixyproxy", "/tmp"}
    [served] = [pod for pod in pods() if pod["containers"][0]["args"] == ["serve"]]
    assert served["terminationGracePeriodSeconds"] > GRACE_S
    [container] = served["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        missing("NGINX", "nginx is not installed here")
    certificate(tmp_path)
    text = (ROOT / "deploy" / "compose" / "nginx.conf").read_text()
    text = re.sub(r"/etc/nginx/tls/\w+\.pem", str(tmp_path / "all.pem"), text)
    # Debian's nginx is older, and does not know the directive that later ones want.
    text = text.replace("    http2 on;\n", "")
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}")
    done = subprocess.run(["nginx", "-t", "-c", file, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_a_service(tmp_path: Path) -> None:
    build, target, home = tmp_path / "build", tmp_path / "opt", tmp_path / "home"
    build.mkdir()
    home.mkdir()
    first, last = instructions()

    def here(text: str) -> str:
        return text.replace("/opt/pixyproxy", str(target))

    for word, rest in first:
        if word == "COPY":
            *names, to = rest.split()
            for name in names:
                source, place = ROOT / name, build / (name if to == "./" else to)
                (shutil.copytree if source.is_dir() else shutil.copy)(source, place)
        elif word == "RUN":
            command = shlex.split(here(rest))
            command[0] = sys.executable if command[0] == "python" else command[0]
            done = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, done.stdout + done.stderr
    words = dict(last)
    [entry], arguments = json.loads(words["ENTRYPOINT"]), json.loads(words["CMD"])
    python, *check = json.loads(words["HEALTHCHECK"].partition("CMD ")[2])
    environment = {"PATH": f"{target}/bin:/usr/bin:/bin", "PIXYPROXY_PORT": "18743", "PYTHONDONTWRITEBYTECODE": "1"}
    service = subprocess.Popen([target / "bin" / entry, *arguments], cwd=home, env=environment)
    try:
        for _ in range(120):
            healthy = subprocess.run(
                [target / "bin" / python, *check], env=environment, capture_output=True, check=False
            )
            if healthy.returncode == 0:
                break
            time.sleep(0.5)
        assert healthy.returncode == 0, healthy.stderr
        service.send_signal(getattr(signal, words["STOPSIGNAL"]))
        assert service.wait(60) == 0
    finally:
        service.kill()
        service.wait()
