"""One batch over several machines: every file once, whoever says which part is whose."""
import json
import os
import shutil
import subprocess

import pytest
import yaml

import server
import slurm
from ingesting import files, ingest, report
from server import until

RECIPES = os.path.join(server.ROOT, "deploy", "batch")

COUNT = 24


@pytest.fixture
def many(home):
    for number in range(COUNT):
        shutil.copy(home / "masters" / "lake.jpg", home / "masters" / f"page {number:03}.jpg")
    return home


def planned(folder, *arguments, env=None):
    ended = ingest(folder, "masters", "--dry-run", *arguments, env=env)
    assert ended.status == 0, ended.said
    return {line.split(" -> ")[0] for line in ended.planned}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_make_up_the_whole(many, count):
    parts = [planned(many, "--shard", f"{part}/{count}") for part in range(1, count + 1)]
    assert sum(map(len, parts)) == COUNT + 3
    assert set.union(*parts) == planned(many)
    assert max(map(len, parts)) < COUNT or count == 1


def test_a_file_that_comes_later_moves_no_other(many):
    before = planned(many, "--shard", "2/3")
    shutil.copy(many / "masters" / "lake.jpg", many / "masters" / "a new one.jpg")
    assert planned(many, "--shard", "2/3") - {"masters/a new one.jpg"} == before


def test_machines_that_work_into_one_folder(home):
    assert ingest(home, "masters", into="whole").status == 0
    for part in (1, 2, 3):
        assert ingest(home, "masters", "--shard", f"{part}/3").status == 0
    assert files(home / "out") == files(home / "whole")
    assert ingest(home, "masters").summary.startswith("0 made, 3 unchanged")


def test_what_is_wrong_is_said_by_one_machine(home):
    shutil.copy(home / "masters" / "tower.png", home / "masters" / "lake.png")
    ended = [ingest(home, "masters", "absent.tif", "--shard", f"{part}/4", "--dry-run") for part in (1, 2, 3, 4)]
    assert sum(len(one.of("absent.tif")) for one in ended) == 1
    assert sum(len(one.of("masters/lake.jpg")) for one in ended) == 1
    assert sum(one.status for one in ended) in (1, 2)


ARRAYS = [
    ({"SLURM_ARRAY_TASK_ID": "{}", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "0"}, "auto", 0, 1),
    ({"SLURM_ARRAY_TASK_ID": "{}", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "10",
      "SLURM_ARRAY_TASK_STEP": "5"}, "auto", 10, 5),
    ({"JOB_COMPLETION_INDEX": "{}"}, "auto/3", 0, 1),
    ({"AWS_BATCH_JOB_ARRAY_INDEX": "{}"}, "auto/3", 0, 1),
    ({"AWS_BATCH_JOB_ARRAY_INDEX": "{}", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, "auto", 0, 1),
]


@pytest.mark.parametrize("variables, shard, first, step", ARRAYS)
def test_arrays_of_jobs(many, variables, shard, first, step):
    for part in range(3):
        env = {name: value.format(first + part * step) for name, value in variables.items()}
        assert planned(many, "--shard", shard, env=env) == planned(many, "--shard", f"{part + 1}/3")


def test_arrays_are_only_heeded_when_asked(many):
    assert len(planned(many, env={"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3"})) == COUNT + 3


@pytest.mark.parametrize("shard, env, wrong", [
    ("0/3", {}, "write I/N"), ("4/3", {}, "part 4 of 3"), ("1", {}, "write I/N"), ("1/", {}, "number of parts"),
    ("1/0", {}, "how many parts"), ("x/3", {}, "write I/N"), ("-1/3", {}, "write I/N"),
    ("auto", {}, "none of SLURM_ARRAY_TASK_ID"),
    ("auto", {"JOB_COMPLETION_INDEX": "1"}, "write auto/N"),
    ("auto/3", {"JOB_COMPLETION_INDEX": "3"}, "part 4 of 3"),
    ("auto/3", {"JOB_COMPLETION_INDEX": "one"}, "none of SLURM_ARRAY_TASK_ID"),
])
def test_parts_that_cannot_be(home, shard, env, wrong):
    clean = {name: "" for name in os.environ if "ARRAY" in name or name == "JOB_COMPLETION_INDEX"}
    ended = ingest(home, "masters", "--shard", shard, env={**clean, **env})
    assert ended.status == 2 and wrong in ended.said and len(ended.lines) == 1


@pytest.fixture
def installed(home):
    """A PATH on which `vitrine` is the program under test."""
    (home / "bin").mkdir()
    os.symlink(server.binary(), home / "bin" / "vitrine")
    return {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}


def test_the_recipe_for_slurm(home, installed):
    for part in range(2):
        env = {**installed, "SLURM_ARRAY_TASK_ID": str(part), "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "2"}
        subprocess.run([os.path.join(RECIPES, "slurm.sh"), "masters", "out", "--quality", "80"], cwd=home, env=env,
                       check=True, capture_output=True)
    assert sorted(files(home / "out")) == ["lake.tif", "sub/map.tif", "tower.tif"]
    assert len(report(home / "report-0.jsonl") + report(home / "report-1.jsonl")) == 3


def test_the_recipe_for_aws_batch(home, installed):
    with open(os.path.join(RECIPES, "aws-batch.json"), encoding="utf-8") as recipe:
        command = json.load(recipe)["containerProperties"]["command"]
    for part in range(2):
        env = {**installed, "AWS_BATCH_JOB_ARRAY_INDEX": str(part), "AWS_BATCH_JOB_ARRAY_SIZE": "2"}
        here = [word.replace("/masters", "masters").replace("/pyramids", "out") for word in command]
        subprocess.run(here, cwd=home, env=env, check=True, capture_output=True)
    assert sorted(name for name in files(home / "out") if name[0] != ".") == ["lake.tif", "sub/map.tif", "tower.tif"]


def test_the_recipe_for_slurm_by_slurm(many, installed):
    """The script as an array of three jobs, the real thing: each file once."""
    if slurm.impossible():
        pytest.skip(slurm.impossible())
    os.chmod(many, 0o755)
    with slurm.Slurm() as cluster:
        said = subprocess.run(["sbatch", "--array=0-2", "--cpus-per-task=1", "--mem=100", os.path.join(RECIPES, "slurm.sh"), "masters",
                               "out"], cwd=many, env={**cluster.env, "PATH": installed["PATH"]}, capture_output=True, text=True,
                              check=True)
        assert said.stdout.startswith("Submitted batch job")
        until(lambda: cluster.tool("squeue", "-h") == "", 60, "all jobs have ended")
    reports = [report(many / f"report-{part}.jsonl") for part in range(3)]
    assert all(reports) and sum(map(len, reports)) == COUNT + 3
    assert len(files(many / "out")) == COUNT + 3


def test_the_recipe_for_kubernetes(home, installed):
    with open(os.path.join(RECIPES, "kubernetes.yaml"), encoding="utf-8") as recipe:
        job = yaml.safe_load(recipe)
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 8
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["restartPolicy"] in ("OnFailure", "Never")  # no other is allowed in a Job
    for part in range(job["spec"]["completions"]):
        here = [word.replace("/masters", "masters").replace("/pyramids", "out") for word in container["command"] + container["args"]]
        subprocess.run(here, cwd=home, env={**installed, "JOB_COMPLETION_INDEX": str(part)}, check=True, capture_output=True)
    assert sorted(name for name in files(home / "out") if name[0] != ".") == ["lake.tif", "sub/map.tif", "tower.tif"]
