#!/usr/bin/env python3
"""Works with a sandbox as a user of AWS would, and checks every reply against the published service models.

Where and with which credentials is in the environment, as `autotune sandbox` prints it.
"""

import datetime
import json
import os
import pathlib
import sys
import time
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "aws"))
import model

REGION = os.environ["AWS_REGION"]
checked, wrong = set(), []


def check(response_dict, operation_model, **_):
    """The body as it came, before the client drops what it does not know. XML and CBOR are checked when parsed."""
    name = operation_model.name
    kind = response_dict["headers"].get("content-type", "")
    if response_dict["status_code"] >= 300 or "json" not in kind:
        return
    checked.add(name)
    body = json.loads(response_dict["body"])
    shape = operation_model.output_shape
    if shape is not None:
        wrong.extend(model.problems(shape, body, name))


def parsed_reply(parsed, model=None, **_):
    name = model.name
    if name in checked or "Error" in parsed:
        return
    checked.add(name)
    body = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
    if model.output_shape is not None:
        body = as_sent(model.output_shape, body)
        wrong.extend(globals()["model"].problems(model.output_shape, body, name))


def as_sent(shape, value):
    """The client reads the policy documents of IAM, which the model has as texts."""
    if shape.type_name == "structure":
        return {name: as_sent(shape.members[name], inner) for name, inner in value.items()}
    if shape.type_name == "list":
        return [as_sent(shape.member, inner) for inner in value]
    return json.dumps(value) if shape.type_name == "string" and isinstance(value, dict) else value


session = boto3.Session(region_name=REGION)
session.events.register("before-parse", check)
session.events.register("after-call", parsed_reply)


def client(service, region=REGION):
    config = botocore.config.Config(retries={"total_max_attempts": 5, "mode": "standard"})
    return session.client(service, region_name=region, config=config)


def until(what, answer, seconds=30):
    """Asks again until the answer is true; the sandbox goes at 60 times the speed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = answer()
        if got:
            return got
        time.sleep(0.1)
    sys.exit(f"client.py: {what} did not come about in {seconds} s")


def refused(code, text, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        found = error.response["Error"]
        if found["Code"] == code and text in found["Message"]:
            return
        sys.exit(f"client.py: expected {code} {text!r}, found {found}")
    sys.exit(f"client.py: {call} was expected to be refused with {code}")


def jobs(batch):
    sizes = [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "2048"}]
    definition = batch.register_job_definition(
        jobDefinitionName="align",
        type="container",
        containerProperties={"image": "busybox", "command": ["sleep", "60"], "resourceRequirements": sizes},
    )["jobDefinitionArn"]
    assert batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    single = batch.submit_job(jobName="single", jobQueue="default", jobDefinition="align")["jobId"]
    array = batch.submit_job(
        jobName="array", jobQueue="default", jobDefinition=definition, arrayProperties={"size": 20}
    )["jobId"]
    after = batch.submit_job(
        jobName="after",
        jobQueue="default",
        jobDefinition="align:1",
        dependsOn=[{"jobId": array}],
        containerOverrides={"environment": [{"name": "SANDBOX_RUN_SECONDS", "value": "5"}]},
    )["jobId"]

    def status(job):
        return batch.describe_jobs(jobs=[job])["jobs"][0]["status"]

    assert status(after) == "PENDING"
    pages = batch.get_paginator("list_jobs").paginate(
        arrayJobId=array, jobStatus="RUNNABLE", PaginationConfig={"PageSize": 7}
    )
    listed = [job["jobId"] for page in pages for job in page["jobSummaryList"]]
    assert len(listed) == len(set(listed)), listed
    for status_name in ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]:
        batch.list_jobs(jobQueue="default", jobStatus=status_name)
    batch.get_job_queue_snapshot(jobQueue="default")
    doomed = batch.submit_job(jobName="doomed", jobQueue="default", jobDefinition="align")["jobId"]
    batch.terminate_job(jobId=doomed, reason="not needed")
    assert status(doomed) == "FAILED"
    batch.cancel_job(jobId=after, reason="too late")
    assert status(after) == "FAILED"
    until("a running job", lambda: status(single) in ("RUNNING", "SUCCEEDED"))
    return single, array, status


def updates(batch):
    name = "on-demand"
    before = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"][0]
    batch.update_compute_environment(computeEnvironment=name, computeResources={"minvCpus": 4, "desiredvCpus": 4})
    batch.describe_job_queues()

    def settled():
        told = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"][0]
        return told if told["status"] == "VALID" else None

    told = until("a VALID environment", settled)
    assert told["computeResources"]["minvCpus"] == 4, told
    refused(
        "ClientException",
        "Manually scaling down compute environment is not supported",
        batch.update_compute_environment,
        computeEnvironment=name,
        computeResources={"desiredvCpus": 0},
    )
    arn = before["computeEnvironmentArn"]
    batch.tag_resource(resourceArn=arn, tags={"autotune": "enabled"})
    assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"autotune": "enabled"}
    batch.untag_resource(resourceArn=arn, tagKeys=["autotune"])
    instances(told["ecsClusterArn"])


def instances(cluster):
    ecs = client("ecs")
    arns = until("an instance", lambda: ecs.list_container_instances(cluster=cluster)["containerInstanceArns"])
    told = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)["containerInstances"]
    assert told[0]["status"] == "ACTIVE", told
    quotas = client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")
    quotas.list_service_quotas(ServiceCode="ec2")
    usage = quota["UsageMetric"]
    dimensions = [{"Name": name, "Value": value} for name, value in usage["MetricDimensions"].items()]
    with urllib.request.urlopen(os.environ["AUTOTUNE__CLOCK_URL"], timeout=5) as answer:
        now = json.load(answer)["now_ms"] / 1000
    now = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    span = {"StartTime": now - datetime.timedelta(minutes=15), "EndTime": now + datetime.timedelta(minutes=1)}
    cloudwatch = client("cloudwatch")
    metric = {"Namespace": usage["MetricNamespace"], "MetricName": usage["MetricName"], "Dimensions": dimensions}
    points = cloudwatch.get_metric_statistics(**metric, **span, Period=60, Statistics=["Maximum"])["Datapoints"]
    assert points[0]["Maximum"] >= 4, points
    query = {"Id": "used", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
    data = cloudwatch.get_metric_data(MetricDataQueries=[query], **span)["MetricDataResults"][0]
    assert data["Values"][0] >= 4, data


def messages():
    sqs = client("sqs")
    url = os.environ["AUTOTUNE__EVENTS_QUEUE_URL"]
    kinds = set()

    def received():
        told = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", [])
        kinds.update(json.loads(message["Body"])["detail-type"] for message in told)
        entries = [{"Id": str(at), "ReceiptHandle": m["ReceiptHandle"]} for at, m in enumerate(told)]
        if entries:
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return "Batch Job State Change" in kinds

    until("events of jobs", received)
    work = sqs.create_queue(QueueName="work")["QueueUrl"]
    assert sqs.get_queue_url(QueueName="work")["QueueUrl"] == work
    sqs.send_message(QueueUrl=work, MessageBody="1")
    sqs.send_message_batch(QueueUrl=work, Entries=[{"Id": "a", "MessageBody": "2"}])
    attributes = sqs.get_queue_attributes(QueueUrl=work, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "2", attributes
    sqs.list_queues()
    one = sqs.receive_message(QueueUrl=work)["Messages"][0]
    sqs.delete_message(QueueUrl=work, ReceiptHandle=one["ReceiptHandle"])
    try:
        sqs.get_queue_url(QueueName="nobody")
        sys.exit("client.py: a queue that is not there was found")
    except sqs.exceptions.QueueDoesNotExist:
        pass


def guards():
    scheduler = client("scheduler")
    now = datetime.datetime.now(datetime.timezone.utc)
    schedule = dict(
        Name="autotune-spot",
        GroupName="autotune",
        ScheduleExpression="rate(5 minutes)",
        StartDate=now + datetime.timedelta(days=400),
        EndDate=now + datetime.timedelta(days=401),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:batch:updateComputeEnvironment",
            "RoleArn": "arn:aws:iam::111122223333:role/autotune-guard",
            "Input": '{"ComputeEnvironment":"spot","ComputeResources":{"MinvCpus":0}}',
        },
    )
    scheduler.create_schedule(**schedule)
    scheduler.update_schedule(**schedule)
    told = scheduler.get_schedule(Name="autotune-spot", GroupName="autotune")
    assert told["Target"]["Input"] == schedule["Target"]["Input"], told
    assert scheduler.list_schedules(GroupName="autotune")["Schedules"][0]["Name"] == "autotune-spot"
    scheduler.delete_schedule(Name="autotune-spot", GroupName="autotune")
    scheduler.create_schedule_group(Name="mine")
    scheduler.get_schedule_group(Name="mine")
    scheduler.list_schedule_groups()
    scheduler.delete_schedule_group(Name="mine")


def network(resources):
    ec2 = client("ec2")
    subnets = ec2.describe_subnets(SubnetIds=resources["subnets"])["Subnets"]
    assert all(subnet["AvailableIpAddressCount"] > 100 for subnet in subnets), subnets
    vpc = {"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]}
    routes = [route for table in ec2.describe_route_tables(Filters=[vpc])["RouteTables"] for route in table["Routes"]]
    assert any("NatGatewayId" in route for route in routes), routes
    assert ec2.describe_vpc_endpoints(Filters=[vpc])["VpcEndpoints"] == []
    assert ec2.describe_vpcs()["Vpcs"][0]["VpcId"] == subnets[0]["VpcId"]
    groups = ec2.describe_security_groups(GroupIds=resources["securityGroupIds"])["SecurityGroups"]
    assert groups[0]["IpPermissions"] == [], groups
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone")
    offered = {one["Location"] for page in pages for one in page["InstanceTypeOfferings"]}
    assert {subnet["AvailabilityZone"] for subnet in subnets} <= offered, offered
    refused("InvalidSubnetID.NotFound", "'subnet-1' does not exist", ec2.describe_subnets, SubnetIds=["subnet-1"])


def machines(resources):
    ec2 = client("ec2")
    image = resources["ec2Configuration"][0]["imageIdOverride"]
    image = ec2.describe_images(ImageIds=[image], IncludeDeprecated=True)["Images"][0]
    devices = [mapping["DeviceName"] for mapping in image["BlockDeviceMappings"]]
    assert devices == [image["RootDeviceName"]], image
    template = resources["launchTemplate"]
    version = ec2.describe_launch_template_versions(
        LaunchTemplateId=template["launchTemplateId"], Versions=[template["version"]]
    )["LaunchTemplateVersions"][0]
    volume = version["LaunchTemplateData"]["BlockDeviceMappings"][0]
    assert volume["DeviceName"] == image["RootDeviceName"], version
    assert volume["Ebs"]["VolumeSize"] > image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"], version
    named = ec2.describe_launch_templates(LaunchTemplateNames=[version["LaunchTemplateName"]])["LaunchTemplates"]
    assert named[0]["LaunchTemplateId"] == template["launchTemplateId"], named
    running = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    reservations = until("an instance", lambda: ec2.describe_instances(Filters=[running])["Reservations"])
    assert reservations[0]["Instances"][0]["SubnetId"] in resources["subnets"], reservations
    refused("InvalidAMIID.NotFound", "does not exist", ec2.describe_images, ImageIds=["ami-1"])


def roles(environment):
    iam = client("iam")
    profile = environment["computeResources"]["instanceRole"].split("/")[-1]
    role = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]
    trust = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert trust == {"Service": "ec2.amazonaws.com"}, role
    assert iam.get_role(RoleName=role["RoleName"])["Role"] == role
    attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert attached[0]["PolicyName"] == "AmazonEC2ContainerServiceforEC2Role", attached
    service = environment["serviceRole"].split("/")[-1]
    assert iam.get_role(RoleName=service)["Role"]["Arn"] == environment["serviceRole"]
    guard = os.environ["AUTOTUNE__GUARD__ROLE_ARN"].split("/")[-1]
    policy = iam.list_role_policies(RoleName=guard)["PolicyNames"][0]
    policy = iam.get_role_policy(RoleName=guard, PolicyName=policy)["PolicyDocument"]
    assert policy["Statement"][0]["Action"] == "batch:UpdateComputeEnvironment", policy
    who = client("sts").get_caller_identity()["Arn"]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=who,
        ActionNames=["batch:ListJobs", "batch:UpdateComputeEnvironment"],
        ResourceArns=[environment["computeEnvironmentArn"], "*"],
        PaginationConfig={"PageSize": 1},
    )
    results = [one for page in pages for one in page["EvaluationResults"]]
    assert [one["EvalDecision"] for one in results] == ["allowed"] * 2, results
    refused("NoSuchEntity", "The role with name nobody cannot be found.", iam.get_role, RoleName="nobody")


def rules():
    events = client("events")
    queue = os.environ["AUTOTUNE__EVENTS_QUEUE_URL"].split("/")[-1]
    target = f"arn:aws:sqs:{REGION}:111122223333:{queue}"
    name = events.list_rule_names_by_target(TargetArn=target)["RuleNames"][0]
    assert "aws.batch" in json.loads(events.describe_rule(Name=name)["EventPattern"])["source"]
    assert events.list_targets_by_rule(Rule=name)["Targets"][0]["Arn"] == target
    assert events.list_rules()["Rules"][0]["State"] == "ENABLED"
    refused("ResourceNotFoundException", "does not exist", events.describe_rule, Name="nobody")


def launches():
    autoscaling = client("autoscaling")
    made = {"Name": "tag-key", "Values": ["AWSBatchServiceTag"]}
    groups = autoscaling.describe_auto_scaling_groups(Filters=[made])["AutoScalingGroups"]
    names = [group["AutoScalingGroupName"] for group in groups]
    group = next(name for name in names if name.startswith("AWSBatch-on-demand-asg-"))
    pages = autoscaling.get_paginator("describe_scaling_activities").paginate(
        AutoScalingGroupName=group, PaginationConfig={"PageSize": 1}
    )
    told = [activity["StatusCode"] for page in pages for activity in page["Activities"]]
    assert told and set(told) == {"Successful"}, told
    failed = {"Name": "Status", "Values": ["Failed"]}
    assert not autoscaling.describe_scaling_activities(AutoScalingGroupName=group, Filters=[failed])["Activities"]


def main():
    batch = client("batch")
    assert client("sts").get_caller_identity()["Account"] == "111122223333"
    types = client("ec2").get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "instance-type", "Values": ["m6i.*", "g5.xlarge"]}]
    )
    types = {one["InstanceType"]: one for page in types for one in page["InstanceTypes"]}
    assert types["g5.xlarge"]["GpuInfo"]["Gpus"][0]["Count"] == 1, sorted(types)
    single, array, status = jobs(batch)
    updates(batch)
    messages()
    guards()
    for environment in batch.describe_compute_environments()["computeEnvironments"]:
        network(environment["computeResources"])
        machines(environment["computeResources"])
        roles(environment)
    rules()
    launches()
    for code in ["L-7A658B76", "L-D18FCD1D"]:
        client("service-quotas").get_service_quota(ServiceCode="ebs", QuotaCode=code)
    assert batch.describe_scheduling_policies(arns=[])["schedulingPolicies"] == []
    for job in (single, array):
        until("SUCCEEDED", lambda job=job: status(job) == "SUCCEEDED")
    refused("ClientException", "not found", batch.submit_job, jobName="x", jobQueue="nobody", jobDefinition="align")
    refused("InvalidSignatureException", "valid region", client("batch", "us-east-1").describe_job_queues)
    refused("SignatureDoesNotMatch", "valid region", client("sts", "us-east-1").get_caller_identity)
    refused("AuthFailure", "valid region", client("ec2", "us-east-1").describe_instance_types)
    refused("InvalidSignatureException", "valid region", client("cloudwatch", "us-east-1").get_metric_data,
            MetricDataQueries=[], StartTime=0, EndTime=1)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"tests/sandbox/client.py: {len(checked)} operations checked, {len(wrong)} wrong")
    return 1 if wrong or len(checked) < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
