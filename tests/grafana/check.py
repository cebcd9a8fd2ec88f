#!/usr/bin/env python3
"""Checks the dashboards against the types that Grafana publishes, of its oldest version that they are for and of a recent one.

    tests/grafana/check.py

Needs npm, which installs `@grafana/schema` and the compiler of TypeScript under target/; without it that is said, and nothing is
checked. Exit code 1 if something is wrong.
"""

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMPILER = "typescript@5.9.3"
# The types of queries are those of the oldest one: later ones keep them elsewhere.
OLDEST = "10.4.19"
VERSIONS = [OLDEST, "13.2.3"]
OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"]


def install(version):
    """The folder with this version's types, or why there is none."""
    folder = ROOT / "target/npm" / f"grafana-{version}"
    wanted = [f"@grafana/schema@{version}", f"grafana-10@npm:@grafana/schema@{OLDEST}", COMPILER]
    done = folder / "installed.txt"
    if not done.exists() or done.read_text() != " ".join(wanted):
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-save", "--prefix", str(folder), *wanted]
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
            return None
        done.write_text(" ".join(wanted))
    return folder


def main():
    if not shutil.which("npm") or not shutil.which("node"):
        print("tests/grafana: the dashboards' types are not checked: no npm is installed; on Debian and Ubuntu: apt-get install npm")
        return 0
    failed = 0
    boards = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    for version in VERSIONS:
        folder = install(version)
        if folder is None:
            print(f"tests/grafana: the dashboards' types are not checked: npm could not install those of Grafana {version}")
            return failed
        shutil.copy(HERE / "types.ts", folder)
        shutil.copy(HERE / "wrong.ts", folder)
        files = [folder / "wrong.ts"]
        for board in boards:
            file = folder / f"{board.stem}.ts"
            # As a literal: of an imported file the compiler forgets which words exactly it has, and misses keys that nobody knows.
            file.write_text(f'import type {{ Board }} from "./types";\nexport const board: Board = {board.read_text()};\n')
            files.append(file)
        command = [folder / "node_modules/.bin/tsc", *OPTIONS, *files]
        differ = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL).returncode != 0
        failed |= differ
        told = "differ from" if differ else "are of"
        print(f"tests/grafana: {len(boards)} dashboards {told} the types of Grafana {version}")
    return failed if boards else 1


if __name__ == "__main__":
    sys.exit(main())
