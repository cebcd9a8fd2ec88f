#!/usr/bin/env python3
"""The policies beside this file, the table of README.md and the CloudFormation template name the same actions.

Only the standard library of Python. Exit code 1 if they differ.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ACTION = r"\b[a-z0-9]+:[A-Z][A-Za-z]+\b"

# A key of a condition, which looks like an action.
CONDITION = "iam:PassedToService"


def policy(name):
    statements = json.loads((HERE / f"{name}.json").read_text())["Statement"]
    return {action for statement in statements for action in statement["Action"]}


def template():
    text = (HERE.parent / "cloudformation/account.yaml").read_text()
    permissions = text[text.index("\n  Permissions:\n") : text.index("\nOutputs:\n")]
    return set(re.findall(ACTION, permissions)) - {CONDITION}


def table(word):
    rows = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| `")]
    return {action for row in rows if row.rstrip("| ").endswith(word) for action in re.findall(ACTION, row)}


def main():
    wrong = 0
    reads, writes = policy("read-only"), policy("read-write")
    for what, found, expected in (
        ("read-write.json, against account.yaml", writes, template()),
        ("README.md, against read-only.json", table("both"), reads),
        ("README.md, against what only read-write.json has", table("read-write"), writes - reads),
    ):
        for action in sorted(found ^ expected):
            print(f"{what}: {'too many' if action in found else 'missing'}: {action}")
            wrong = 1
    for action in sorted(reads):
        if not re.match(r"\w+:(Describe|List|Get|Lookup|Simulate)", action):
            print(f"read-only.json: {action} does not only read")
            wrong = 1
    print(f"{len(reads)} actions that read, {len(writes - reads)} more that write")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
