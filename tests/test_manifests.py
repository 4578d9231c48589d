"""The manifests of docs/kubernetes.md: what reads them has schemas, and their commands run as they are written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import jreg
from jreg.cli import main
from jreg.store import load_note

PAGE = (Path(__file__).parents[1] / "docs" / "kubernetes.md").read_text()
MANIFESTS = [one for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for one in yaml.safe_load_all(block)]
RECIPE = """
import optax, jreg
from jreg import losses, nn, penalties

def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    return jreg.Recipe(nn.MLP((3,)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)

space = jreg.grid(l2=[0.0, 1e-3], rate=[1e-2, 1e-1])
"""


def jobs():
    """The specifications of all Jobs on the page: of its own ones, and of those of the JobSet."""
    [jobset] = [one for one in MANIFESTS if one["kind"] == "JobSet"]
    inside = [
        (f"{jobset['metadata']['name']}-{job['name']}", job["template"]["spec"])
        for job in jobset["spec"]["replicatedJobs"]
    ]
    return [(one["metadata"]["name"], one["spec"]) for one in MANIFESTS if one["kind"] == "Job"] + inside


def command(spec):
    """What the only container of a pod runs."""
    [container] = spec["template"]["spec"]["containers"]
    return container["command"]


def test_the_page_has_what_it_names():
    assert [one["kind"] for one in MANIFESTS] == ["PersistentVolumeClaim", "Job", "Job", "JobSet"]
    assert [command(spec)[0] for _, spec in jobs()] == ["jreg", "sh", "jreg", "sh"]
    for _, spec in jobs():
        pod = spec["template"]["spec"]
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        if spec.get("completionMode") == "Indexed":
            assert f"auto/{spec['completions']}" in command(spec)


def test_jobs_and_claims_are_what_kubernetes_reads():
    """Strictly: a field that no schema has is refused, which the API server would drop without a word."""
    validate = pytest.importorskip("kubernetes_validate")
    version = validate.latest_version()
    wrapped = [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec} for name, spec in jobs()
    ]
    claims = [one for one in MANIFESTS if one["kind"] == "PersistentVolumeClaim"]
    for manifest in [*wrapped, *claims]:
        validate.validate(manifest, version, strict=True)
    for wrong in ({"completions": "16"}, {"completion": 16}):
        with pytest.raises(validate.ValidationError):
            validate.validate(wrapped[0] | {"spec": wrapped[0]["spec"] | wrong}, version, strict=True)


def strictly(schema):
    """A schema that refuses unknown fields, and without what only Kubernetes reads."""
    if isinstance(schema, list):
        return [strictly(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strictly(value) for name, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


def test_the_job_set_is_what_its_controller_reads():
    """Against the definition that is installed with JobSet, whose file JREG_JOBSET_CRD names.

    config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml of kubernetes-sigs/jobset, 800 kB.
    """
    jsonschema = pytest.importorskip("jsonschema")
    if "JREG_JOBSET_CRD" not in os.environ:
        pytest.skip("JREG_JOBSET_CRD doesn't name the file with JobSet's definition")
    definition = yaml.safe_load(Path(os.environ["JREG_JOBSET_CRD"]).read_text())
    [jobset] = [one for one in MANIFESTS if one["kind"] == "JobSet"]
    group, version = jobset["apiVersion"].split("/")
    [schema] = [one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"] if one["name"] == version]
    assert (group, jobset["kind"]) == (definition["spec"]["group"], definition["spec"]["names"]["kind"])
    # What the API server knows of every object is not in it.
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    validator = jsonschema.Draft202012Validator(strictly(schema))
    validator.validate(jobset)
    text = json.dumps(jobset)
    for before, wrong in (
        ("RestartJob", "RestartJobs"),
        ("dependsOn", "dependOn"),
        ('"maxRestarts": 3', '"maxRestarts": "3"'),
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(json.loads(text.replace(before, wrong)))


def test_what_the_job_set_names_is_there():
    """What its schema can't say: names of its own parts, and reasons that Jobs fail for."""
    [jobset] = [one for one in MANIFESTS if one["kind"] == "JobSet"]
    names = [job["name"] for job in jobset["spec"]["replicatedJobs"]]
    rules = jobset["spec"]["failurePolicy"]["rules"]
    assert {name for rule in rules for name in rule.get("targetReplicatedJobs", [])} <= set(names)
    assert {rule["action"] for rule in rules} == {"FailJobSet", "RestartJob"}
    for number, job in enumerate(jobset["spec"]["replicatedJobs"]):
        # A Job can only wait for one that is listed before it.
        assert {other["name"] for other in job.get("dependsOn", [])} <= set(names[:number])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_recipe.py").write_text(RECIPE)
    return tmp_path


def local(text, folder):
    """A word of a command with the volume's path in this folder."""
    return text.replace("/runs/", f"{folder}/runs/")


def test_a_pod_trains_the_shard_of_its_index(folder, monkeypatch, capsys):
    for index, (_, spec) in zip((15, 3), [one for one in jobs() if command(one[1])[0] == "jreg"], strict=True):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        main([local(word, folder) for word in command(spec)[1:]])
        place = folder / f"runs/mine/shard-{index}-of-16"
        assert capsys.readouterr().out.startswith(f"shard {index}/16: {1 if index == 15 else 2} of its")
        assert load_note(place, "shard") == [index, 16]


@pytest.mark.slow
def test_all_pods_and_the_job_that_merges_them_run_as_they_are_written(folder):
    """In processes of their own, with nothing changed but where the volume is."""
    (folder / "bin").mkdir()
    (folder / "bin" / "jreg").write_text(f'#!/bin/sh\nexec {sys.executable} -m jreg "$@"\n')
    (folder / "bin" / "jreg").chmod(0o755)
    own = {"PYTHONPATH": str(Path(jreg.__file__).parents[1]), "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    shards, merge = (spec for _, spec in jobs()[:2])
    for index in range(shards["completions"]):
        words = [local(word, folder) for word in command(shards)]
        environment = os.environ | own | {"JOB_COMPLETION_INDEX": str(index)}
        subprocess.run(words, cwd=folder, env=environment, check=True, timeout=300)
    words = [local(word, folder) for word in command(merge)]
    done = subprocess.run(
        words, cwd=folder, env=os.environ | own, check=True, timeout=300, capture_output=True, text=True
    )
    assert done.stdout.startswith("20 of 20 trainings are in ")
    assert jreg.load(folder / "runs/mine/all/final").predict(jreg.load_dataset("wine").x).shape == (142,)
