#!/usr/bin/env python3
"""Deploys deploy/cloudformation/example.yaml, and account.yaml beside it, on moto, in a region of their own: example.py URL

What AWS does by itself and moto does not is done here, each with its reason. Prints as JSON the settings of autotune for them, and what of
the templates moto does not know.
"""

import json
import pathlib
import sys

import boto3
from cfnlint.decode import decode

REGION = "eu-west-1"
HERE = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy/cloudformation"


def main(url):
    def client(service):
        keys = dict(aws_access_key_id="test", aws_secret_access_key="test")
        return boto3.client(service, region_name=REGION, endpoint_url=url, **keys)

    ec2, iam, batch, cloudformation = client("ec2"), client("iam"), client("batch"), client("cloudformation")
    unknown = []

    def deploy(name, template, **parameters):
        """The stack's outputs, and the physical names of its resources."""
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] != "CREATE_COMPLETE":
            sys.exit(f"example.py: {name}: {stack}")
        made = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        made = {resource.get("LogicalResourceId"): resource.get("PhysicalResourceId") for resource in made}
        for resource in set(template["Resources"]) - set(made):
            if "Condition" not in template["Resources"][resource]:
                unknown.append(template["Resources"][resource]["Type"])
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}, made

    example, account = read("example"), read("account")
    # AWS Batch makes its role, and takes it where none is named.
    trust = {"Effect": "Allow", "Principal": {"Service": "batch.amazonaws.com"}, "Action": "sts:AssumeRole"}
    linked = iam.create_role(
        Path="/aws-service-role/batch.amazonaws.com/",
        RoleName="AWSServiceRoleForBatch",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    for resource in example["Resources"].values():
        if resource["Type"] == "AWS::Batch::ComputeEnvironment":
            resource["Properties"]["ServiceRole"] = linked
        if resource["Type"] == "AWS::EC2::Subnet":
            # An empty region is that of the stack.
            resource["Properties"]["AvailabilityZone"]["Fn::Select"][1]["Fn::GetAZs"] = REGION
    outputs, made = deploy("example", example)
    for name, resource in example["Resources"].items():
        properties = resource.get("Properties", {})
        # What moto takes no notice of.
        if resource["Type"] == "AWS::EC2::Subnet" and properties["MapPublicIpOnLaunch"]:
            ec2.modify_subnet_attribute(SubnetId=made[name], MapPublicIpOnLaunch={"Value": True})
        if resource["Type"] == "AWS::Batch::ComputeEnvironment":
            batch.tag_resource(resourceArn=made[name], tags=properties["Tags"])
        if resource["Type"] == "AWS::EC2::SubnetRouteTableAssociation":
            table, subnet = (made[properties[key]["Ref"]] for key in ("RouteTableId", "SubnetId"))
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if resource["Type"] == "AWS::IAM::Role":
            for arn in properties.get("ManagedPolicyArns", []):
                iam.attach_role_policy(RoleName=made[name], PolicyArn=arn["Fn::Sub"].replace("${AWS::Partition}", "aws"))

    environments = batch.describe_compute_environments(computeEnvironments=outputs["ComputeEnvironmentArns"].split(","))
    clusters = [environment["ecsClusterArn"] for environment in environments["computeEnvironments"]]
    names = ["JobQueueArns", "ComputeEnvironmentArns", "SqsQueueArns"]
    given = {name: outputs[name] for name in names} | {"ClusterArns": ",".join(clusters)}
    # moto keeps a hole in a list for what is left out.
    statements = account["Resources"]["Permissions"]["Properties"]["PolicyDocument"]["Statement"]
    holds = {"ReadsSqs": True, "HasStandby": False, "HasKey": False}
    chosen = [one["Fn::If"][1 if holds[one["Fn::If"][0]] else 2] if "Fn::If" in one else one for one in statements]
    statements[:] = [one for one in chosen if "Ref" not in one]
    template = account
    account, _ = deploy("account", account, **given)
    if "AWS::Scheduler::ScheduleGroup" in unknown:
        account["GuardGroup"] = "autotune"
        client("scheduler").create_schedule_group(Name="autotune")
    told = {
        "region": REGION,
        "events_queue_url": account["EventsQueueUrl"],
        "guard": {"group": account["GuardGroup"], "role_arn": account["GuardRoleArn"]},
        "unknown": sorted(unknown),
        "given": given,
        "wake_ups": wake_ups(client, account["EventsQueueUrl"], template["Resources"]),
    }
    print(json.dumps(told, indent=1))


def wake_ups(client, url, resources):
    """What may come in by whom; the queue's policy, which moto does not know, from the template."""
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    events = client("events")
    rules = []
    for rule in events.list_rules()["Rules"]:
        targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        if any(target["Arn"] == attributes["QueueArn"] for target in targets):
            rules.append(json.loads(rule["EventPattern"]))
    return {
        "retention": attributes["MessageRetentionPeriod"],
        "rules": sorted(rules, key=lambda pattern: pattern["detail-type"]),
        "rule_names": sorted(name for name, resource in resources.items() if resource["Type"] == "AWS::Events::Rule"),
        # Which moto takes for granted.
        "encrypted": [resources["WakeUps"]["Properties"][name] for name in ("SqsManagedSseEnabled", "KmsMasterKeyId")],
        "policy": resources["WakeUpsPolicy"]["Properties"]["PolicyDocument"]["Statement"],
    }


def read(name):
    template, problems = decode(str(HERE / f"{name}.yaml"))
    if problems:
        sys.exit(f"example.py: {name}: {problems}")
    return template


if __name__ == "__main__":
    main(sys.argv[1])
