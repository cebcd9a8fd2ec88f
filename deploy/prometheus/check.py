#!/usr/bin/env python3
"""Checks every expression of the rules and the dashboards.

    deploy/prometheus/check.py           their metrics and labels are those of deploy/METRICS.md, alerts have their runbook
    deploy/prometheus/check.py URL       besides, the Prometheus there, which scrapes autotune, evaluates all rules and answers each
                                         expression with series
    deploy/prometheus/check.py URL --all     nothing may be empty, whatever the reason: on a demo

Only the standard library of Python. Exit code 1 if something is wrong.
"""

import glob
import json
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
# Why an expression may be without series, by a part of it.
MAY_BE_EMPTY = {
    "autotune_check_findings": "a series begins with its first finding",
    "autotune_environment_lease_expires_timestamp_seconds": "there while something is raised",
    "autotune_sqs_": "there with an SQS source in the policy",
    "autotune_job_": "the shares need jobs that started within their window",
    "autotune:job_": "the shares need jobs that started within their window",
}
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$queue": ".*", "$environment": ".*"}


def families():
    """Name of each series -> its labels."""
    found = {}
    for line in (DEPLOY / "METRICS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| `autotune_") or len(cells) < 6:
            continue
        name, labels = cells[0].strip("`| "), set(re.findall(r"`(\w+)`", cells[3]))
        found[name] = labels
        if cells[1] == "histogram":
            found.update({name + "_bucket": labels | {"le"}, name + "_sum": labels, name + "_count": labels})
    return found


def rules():
    """(where, expression, is an alert), and the lines themselves. Enough of YAML for our own files."""
    for path in sorted((DEPLOY / "prometheus").glob("*.rules.yml")):
        name, lines = None, path.read_text().splitlines()
        for at, line in enumerate(lines):
            started = re.match(r"\s*- (alert|record): (\S+)", line)
            if started:
                name = started.groups()
            expr = re.match(r"(\s*)expr: (.*)", line)
            if expr:
                text, indent = expr[2], len(expr[1])
                if text == "|":
                    block = []
                    for more in lines[at + 1 :]:
                        if len(more) - len(more.lstrip()) <= indent:
                            break
                        block.append(more.strip())
                    text = " ".join(block)
                yield f"{path.name} {name[1]}", text, name[0] == "alert"


def panels():
    """(where, expression) of each dashboard, variables included."""
    for path in sorted(glob.glob(str(DEPLOY / "grafana/dashboards/*.json"))):
        board = json.loads(pathlib.Path(path).read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{panel['title']} {target['refId']}", target["expr"]
        for variable in board["templating"]["list"]:
            asked = variable["type"] == "query" and re.match(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            if asked:
                yield f"${variable['name']}", f"count by ({asked[2]}) ({asked[1]})"


def misnamed(expr, known, recorded):
    """Metrics and labels of an expression that METRICS.md does not have."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    for name, selector in re.findall(r"\b(autotune[_:][\w:]+)(\{[^}]*\})?", bare):
        if name not in known and name not in recorded:
            yield f"no metric {name}"
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            if label not in known.get(name, set()):
                yield f"{name} has no label {label}"


def get(url, path):
    """What Prometheus answers, or what it says against the question."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=20) as reply:
            return json.load(reply)["data"]
    except urllib.error.HTTPError as error:
        return str(json.load(error).get("error", error))
    except OSError as error:
        return str(error)


def ask(url, expr):
    """How many series an expression has, or what Prometheus says against it."""
    data = get(url, "/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
    return data if isinstance(data, str) else len(data["result"])


def unhealthy(url, expected):
    """Rules that Prometheus could not evaluate, and whether it has all of ours."""
    data = get(url, "/api/v1/rules")
    if isinstance(data, str):
        return [f"rules: {data}"]
    rules = [rule for group in data["groups"] for rule in group["rules"]]
    wrong = [f"rule {rule['name']}: {rule['health']}: {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]
    missing = expected - {rule["name"] for rule in rules}
    return wrong + [f"rule {name}: Prometheus does not have it" for name in sorted(missing)]


def main():
    known, wrong, empty, series = families(), [], [], 0
    may_be_empty = {} if "--all" in sys.argv else MAY_BE_EMPTY
    every = [(where, expr, alert) for where, expr, alert in rules()]
    every += [(where, expr, False) for where, expr in panels()]
    recorded = set(re.findall(r"autotune:[\w:]+", " ".join(where for where, _, _ in every)))
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", runbook, re.MULTILINE)}
    alerts = (DEPLOY / "prometheus/alert.rules.yml").read_text()
    for section in re.findall(r"runbook_url: deploy/RUNBOOK.md#(\S+)", alerts):
        if section not in sections:
            wrong.append(f"deploy/RUNBOOK.md has no section {section}")
    for key in ("severity:", "summary:", "description:", "runbook_url:"):
        if alerts.count(key) < alerts.count("- alert:"):
            wrong.append(f"an alert has no {key[:-1]}")
    for where, expr, alert in every:
        wrong += [f"{where}: {what}" for what in misnamed(expr, known, recorded)]
        if len(sys.argv) < 2:
            continue
        for variable, value in VARIABLES.items():
            expr = expr.replace(variable, value)
        found = ask(sys.argv[1], expr)
        if isinstance(found, str):
            wrong.append(f"{where}: {found}\n    {expr}")
        elif found:
            series += found
        elif not alert:
            reason = next((why for part, why in may_be_empty.items() if part in expr), None)
            (empty if reason else wrong).append(f"{where}: no series" + (f" ({reason})" if reason else f"\n    {expr}"))
    if len(sys.argv) > 1:
        wrong += unhealthy(sys.argv[1], {where.split()[1] for where, _, _ in rules()})
    for line in empty:
        print(f"empty  {line}")
    for line in wrong:
        print(f"WRONG  {line}")
    print(f"{len(every)} expressions, {series} series, {len(empty)} empty for a reason, {len(wrong)} wrong")
    return 1 if wrong or not known or len(every) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
