#!/usr/bin/env python3
"""Checks requests/*.json and replies/*.json against the service models that AWS publishes (botocore carries them).

    tests/aws/model.py
    tests/aws/model.py --surveys FILE       instead surveys of `autotune check`, a list of pairs of name and survey
    tests/aws/model.py --errors             prints errors.json: what the models say that each operation of src/aws may answer instead
    tests/aws/model.py --asked FILE         instead requests as they went over the wire in the tests of src/aws, with the answers
                                            that they were given, one a line: every operation that src/aws names must be among them

Codes of errors that src/aws names must be documented too. A request must hold what the model requires, a reply may leave out anything; neither may hold what the model does not know. What a
survey has beside replies is named in BESIDES.
"""

import base64
import io
import json
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.validate
from botocore import xform_name

HERE = pathlib.Path(__file__).parent
loader = botocore.loaders.Loader()


def operation(service, name):
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
    return model.operation_model(name)


def problems(shape, value, where):
    report = botocore.validate.ParamValidator().validate(value, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return [f"{where}: {text}" for text in found + list(unknown(shape, value))]


def unknown(shape, value, path=""):
    """Members that the model does not have: the validator lets them pass."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from unknown(shape.members[name], inner, f"{path}.{name}")
            else:
                yield f"the model has no {path}.{name}; it has {', '.join(shape.members)}"
    elif shape.type_name == "list" and isinstance(value, list):
        for inner in value:
            yield from unknown(shape.member, inner, f"{path}[]")
    elif path.endswith(".evaluateOnExit[].action") and value.upper() in shape.enum:
        return  # AWS Batch takes it in any case
    elif shape.type_name == "string" and shape.enum and value not in shape.enum and shape.name != "InstanceType":  # new ones come
        yield f"{path} is {value!r}; the model knows {', '.join(shape.enum)[:300]}"


def lowered(value):
    """Universal targets of EventBridge Scheduler spell members with a capital letter."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: lowered(inner) for name, inner in value.items()}
    return value


# Part of a survey -> service, operation, and where in its reply such things are listed.
PARTS = {
    "compute_environments": ("batch", "DescribeComputeEnvironments", "computeEnvironments"),
    "job_queues": ("batch", "DescribeJobQueues", "jobQueues"),
    "scheduling_policies": ("batch", "DescribeSchedulingPolicies", "schedulingPolicies"),
    "job_definitions": ("batch", "DescribeJobDefinitions", "jobDefinitions"),
    "launch_templates": ("ec2", "DescribeLaunchTemplateVersions", "LaunchTemplateVersions"),
    "images": ("ec2", "DescribeImages", "Images"),
    "subnets": ("ec2", "DescribeSubnets", "Subnets"),
}
# What rules need to know of them that other calls tell.
BESIDES = {"infrastructureUpdatedAt", "recentJobDefinitions", "Route", "Endpoints"}


def things(part):
    """What was read of a part, if it was read."""
    if "known" not in part and "unread" not in part:
        return [thing for asked in part.values() for thing in things(asked)]
    known = part.get("known")
    return [] if known is None else known if isinstance(known, list) else [known]


def as_told(value):
    """Without what a reply leaves out."""
    if isinstance(value, dict):
        return {name: as_told(inner) for name, inner in value.items() if inner is not None and name not in BESIDES}
    return [as_told(inner) for inner in value] if isinstance(value, list) else value


def survey_problems(name, survey):
    for part, (service, described, member) in PARTS.items():
        for thing in things(survey[part]):
            reply = {member: [as_told(thing)]}
            found = problems(operation(service, described).output_shape, reply, f"{name}, {part}")
            lines = (line for problem in found for line in problem.splitlines())
            # Survey and rules leave out what no rule reads.
            yield from (line for line in lines if "Missing required parameter" not in line)


def check_surveys(path):
    surveys = json.loads(pathlib.Path(path).read_text())
    wrong = sorted({line for name, survey in surveys for line in survey_problems(name, survey)})
    print(*wrong, f"{len(surveys)} surveys checked, {len(wrong)} problems", sep="\n")
    return 1 if wrong or not surveys else 0


# In no model: what the API references call common errors, what EC2's lists in prose, and what AWS Batch answers when throttled.
COMMON = {
    "AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException", "MissingAuthenticationTokenException",
    "ThrottlingException", "TooManyRequestsException", "UnauthorizedOperation", "UnrecognizedClientException", "ValidationError",
}
SERVICES = (
    "autoscaling", "batch", "cloudtrail", "cloudwatch", "dynamodb", "ec2", "ecs", "events", "iam", "scheduler", "service-quotas", "sqs", "sts",
)


def unknown_errors():
    """Codes of errors that our code or its tests name and nobody documents."""
    known = set(COMMON)
    for service in SERVICES:
        for shape in botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service).error_shapes:
            known |= {shape.name, shape.metadata.get("error", {}).get("code", shape.name)}
    retried = loader.load_data("_retry")["definitions"].values()
    answers = (entry["applies_when"]["response"] for entry in retried if "response" in entry["applies_when"])
    known |= {answer["service_error_code"] for answer in answers if "service_error_code" in answer}
    named = re.compile(r'Reply::Error\(\s*\d+,\s*"(\w+)"|"([A-Z]\w+(?:Exception|Error|Fault))"')
    sources = sorted((HERE.parent.parent / "src/aws").rglob("*.rs"))
    found = {(path.name, code) for path in sources for code in map("".join, named.findall(path.read_text())) if code not in known}
    return [f"{name}: no model knows the error {code}" for name, code in sorted(found)]


def named_operations():
    """Service -> operations of it that src/aws calls."""
    text = "".join(path.read_text() for path in sorted((HERE.parent.parent / "src/aws").rglob("*.rs")))
    called = set(re.findall(r"\.([a-z]+_\w+)\(\)", text))
    for service in SERVICES:
        model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
        # Many services have these; only things of AWS Batch are tagged.
        others = {"TagResource", "UntagResource"} if service != "batch" else set()
        yield model, [name for name in model.operation_names if xform_name(name) in called and name not in others]


def modelled_errors():
    """The text of errors.json: service, operation, code -> HTTP status."""
    table = {}
    for model, names in named_operations():
        for name in names:
            errors = {}
            for shape in model.operation_model(name).error_shapes:
                error = shape.metadata.get("error", {})
                status = error.get("httpStatusCode", 500 if shape.metadata.get("fault") else 400)
                errors[error.get("code", shape.name)] = status
            table.setdefault(model.service_name, {})[name] = dict(sorted(errors.items()))
    return json.dumps(table, indent=2, sort_keys=True) + "\n"


# First part of a service's host, where it is not the name of its model.
HOSTS = {"monitoring": "cloudwatch", "servicequotas": "service-quotas"}


def asked_of(line):
    """Service, operation and parameters of a request."""
    url = urllib.parse.urlsplit(line["uri"])
    host = url.hostname.split(".")[0]
    service, body = HOSTS.get(host, host), base64.b64decode(line["body"])
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
    if line["target"]:
        name = line["target"].split(".")[-1]
        return service, name, json.loads(body)
    if "/operation/" in url.path:
        name = url.path.rsplit("/", 1)[1]
        reader = botocore.parsers.RpcV2CBORParser()
        return service, name, reader.parse_data_item(io.BufferedReader(io.BytesIO(body)))
    if model.metadata["protocol"] in ("query", "ec2"):
        given = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        name, version = given.pop("Action"), given.pop("Version")
        if version != model.api_version:
            raise ValueError(f"{service} {name}: version {version}, the model has {model.api_version}")
        shape = model.operation_model(name).input_shape
        params = from_query(shape, "", given, model.metadata["protocol"] == "ec2") if shape else {}
        return service, name, params | {key: value for key, value in given.items()}
    for name in model.operation_names:
        operation = model.operation_model(name)
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"]), url.path)
        if found and operation.http["method"] == line["method"]:
            members = operation.input_shape.members
            spelled = {shape.serialization.get("name", member): member for member, shape in members.items()}
            params = {spelled.get(key, key): value for key, value in json.loads(body or b"{}").items()}
            in_path = [(key, urllib.parse.unquote(text)) for key, text in found.groupdict().items()]
            for key, text in [*in_path, *urllib.parse.parse_qsl(url.query)]:
                key = spelled.get(key, key)
                if key in members and members[key].type_name == "list":
                    params.setdefault(key, []).append(text)
                else:
                    params[key] = int(text) if key in members and members[key].type_name == "integer" else text
            return service, name, params
    raise ValueError(f"{service} has no operation {line['method']} {url.path}")


def from_query(shape, at, given, ec2):
    """Takes what the query protocols say of a member out of what is given."""
    below = f"{at}." if at else ""
    if shape.type_name == "structure":
        value = {}
        for name, member in shape.members.items():
            spelled = member.serialization.get("name", name)
            if ec2:
                spelled = member.serialization.get("queryName", spelled[:1].upper() + spelled[1:])
            path = below + spelled
            if any(key == path or key.startswith(f"{path}.") for key in given):
                value[name] = from_query(member, path, given, ec2)
        return value
    if shape.type_name == "list":
        if not ec2 and not shape.serialization.get("flattened"):
            below += shape.member.serialization.get("name", "member") + "."
        numbers = {int(key[len(below):].split(".")[0]) for key in given if key.startswith(below)}
        return [from_query(shape.member, f"{below}{number}", given, ec2) for number in sorted(numbers)]
    text = given.pop(at)
    if shape.type_name in ("integer", "long"):
        return int(text)
    return text == "true" if shape.type_name == "boolean" else text


def answered(service, name, line):
    """What the model does not know of an answer. Of errors `unknown_errors` tells; CBOR is that of checked files."""
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
    shape = model.operation_model(name).output_shape
    if line["status"] != 200 or shape is None or "/operation/" in line["uri"]:
        return
    body = base64.b64decode(line["reply"])
    if model.metadata["protocol"] in ("query", "ec2"):
        root = xml.etree.ElementTree.fromstring(body)
        for element in root if model.metadata["protocol"] == "query" else [root]:
            yield from unknown_elements(shape, element, f"{service} {name}, answer")
    else:
        for text in problems(shape, as_told(json.loads(body)), f"{service} {name}, answer"):
            yield from (one for one in text.splitlines() if "Missing required parameter" not in one)


def unknown_elements(shape, element, at):
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for inner in element:
            if inner.tag not in members:
                yield f"{at}: the model has no {inner.tag}; it has {', '.join(members)}"
            elif members[inner.tag].serialization.get("flattened"):
                yield from unknown_elements(members[inner.tag].member, inner, f"{at}.{inner.tag}")
            else:
                yield from unknown_elements(members[inner.tag], inner, f"{at}.{inner.tag}")
    elif shape.type_name == "list":
        spelled = shape.member.serialization.get("name", "member")
        for inner in element:
            if inner.tag != spelled:
                yield f"{at}: found {inner.tag}, expected {spelled}"
            else:
                yield from unknown_elements(shape.member, inner, f"{at}.{spelled}")


def check_asked(path):
    wrong, seen = [], set()
    lines = pathlib.Path(path).read_text().splitlines()
    for line in lines:
        try:
            told = json.loads(line)
            service, name, params = asked_of(told)
            shape = operation(service, name).input_shape
            wrong += answered(service, name, told)
        except Exception as found:
            wrong.append(f"{line[:300]}: {found!r}")
            continue
        seen.add(xform_name(name))
        if shape:
            wrong += problems(shape, params, f"{service} {name}")
        elif params:
            wrong.append(f"{service} {name}: the model has no parameters, found {params}")
    called = {xform_name(name) for _, names in named_operations() for name in names}
    wrong += [f"no test of src/aws sends {name}" for name in sorted(called - seen)]
    wrong = sorted(set(wrong))
    print(*wrong, f"tests/aws/model.py: {len(lines)} requests of {len(seen)} operations, and their answers, checked, {len(wrong)} wrong", sep="\n")
    return 1 if wrong or not lines else 0


def main():
    if sys.argv[1:2] == ["--surveys"]:
        return check_surveys(sys.argv[2])
    if sys.argv[1:2] == ["--asked"]:
        return check_asked(sys.argv[2])
    if sys.argv[1:2] == ["--errors"]:
        print(modelled_errors(), end="")
        return 0
    wrong, checked = [], 0
    for path in sorted(HERE.glob("requests/*.json")):
        file = json.loads(path.read_text())
        request = file["request"] | file.get("uri", {})
        shape = operation(file["service"], file["operation"]).input_shape
        wrong += problems(shape, request, path.name)
        target = request.get("Target", {})
        if "aws-sdk:batch:updateComputeEnvironment" in target.get("Arn", ""):
            shape = operation("batch", "UpdateComputeEnvironment").input_shape
            made = json.loads(target["Input"])
            wrong += problems(shape, lowered(made), f"{path.name}, Input")
            if any(not name[0].isupper() for name in list(made) + list(made["ComputeResources"])):
                wrong.append(f"{path.name}, Input: members must begin with a capital letter")
        checked += 1
    for path in sorted(HERE.glob("replies/*.json")):
        file = json.loads(path.read_text())
        shape = operation(file["service"], file["operation"]).output_shape
        if shape is None:
            wrong += [f"{path.name}: expected an empty reply"] if file["reply"] else []
        else:
            wrong += problems(shape, file["reply"], path.name)
        checked += 1
    wrong += unknown_errors()
    if (HERE / "errors.json").read_text() != modelled_errors():
        wrong.append("stale: tests/aws/model.py --errors > tests/aws/errors.json")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"tests/aws/model.py: {checked} files checked, {len(wrong)} wrong")
    return 1 if wrong or checked < 30 else 0


if __name__ == "__main__":
    sys.exit(main())
