#!/usr/bin/env python3
"""The workflows of the forge can be read, their scripts are scripts, and what they name of this tree is there.

Needs PyYAML. Exit code 1 if something is wrong. Whether the forge runs them as meant, only the forge can say.
"""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
ACTION = r"actions/[a-z-]+@v\d+"
EXPRESSION = r"\$\{\{.*?\}\}"
# Made by the commands themselves.
MADE = ("target/", "published/")


def steps_of(name, workflow):
    for job, told in workflow["jobs"].items():
        if not {"runs-on", "steps", "timeout-minutes"} <= told.keys():
            yield f"{name}: {job}", None
        for needed in [told.get("needs", [])] if isinstance(told.get("needs"), str) else told.get("needs", []):
            if needed not in workflow["jobs"]:
                yield f"{name}: {job} needs {needed}", None
        for step in told.get("steps", []):
            yield f"{name}: {job}", step


def troubles_of(where, step, inside):
    if step is None:
        yield f"{where}: lacks runs-on, steps or timeout-minutes, or needs a job that is not there"
    elif "uses" in step:
        if not re.fullmatch(ACTION, step["uses"]):
            yield f"{where}: {step['uses']} is no action of the forge's own by its major version"
    else:
        script = re.sub(EXPRESSION, "expression", step["run"])
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        if checked.returncode:
            yield f"{where}: {checked.stderr}"
        for word in re.findall(r"[\w./$*-]+", script):
            first = word.removeprefix("./").split("/")[0]
            is_ours = first in inside and not word.startswith(MADE) and ("/" in word or "." in word or word in inside)
            if is_ours and not (ROOT / word).exists():
                yield f"{where}: {word} is not there"


def main():
    # As in a checkout: what is built is not.
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True).stdout.splitlines()
    inside = {path.split("/")[0] for path in listed}
    troubles, count = [], 0
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for where, step in steps_of(path.name, yaml.safe_load(path.read_text())):
            count += 1
            troubles.extend(troubles_of(where, step, inside))
    print(*troubles, f"{count} steps", sep="\n")
    return 1 if troubles or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
