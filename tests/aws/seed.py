#!/usr/bin/env python3
"""Fills a moto server with what tests/aws/main.rs expects: seed.py URL"""

import base64
import json
import sys
import time
import urllib.error
import urllib.request

import boto3

REGION = "eu-central-1"


def when_ready(request):
    for _ in range(300):
        try:
            return urllib.request.urlopen(request, timeout=30).read()
        except (urllib.error.URLError, ConnectionError) as error:
            last = error
            time.sleep(0.2)
    sys.exit(f"seed.py: no moto server at {request.full_url}: {last}; hint: see target/moto.log")


def main(url):
    def client(service):
        keys = dict(aws_access_key_id="test", aws_secret_access_key="test")
        return boto3.client(service, region_name=REGION, endpoint_url=url, **keys)

    # Jobs end at once instead of looking for Docker.
    config = json.dumps({"batch": {"use_docker": False}}).encode()
    when_ready(urllib.request.Request(f"{url}/moto-api/config", data=config))

    ec2, iam, batch, sqs = client("ec2"), client("iam"), client("batch"), client("sqs")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="batch", Description="batch", VpcId=vpc)["GroupId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    table = ec2.describe_route_tables(Filters=main)["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    user_data = "#!/bin/bash\necho ECS_CLUSTER=mine >> /etc/ecs/ecs.config\nexport TOKEN=secret\n"
    ec2.create_launch_template(
        LaunchTemplateName="batch",
        LaunchTemplateData={
            "ImageId": image,
            "UserData": base64.b64encode(user_data.encode()).decode(),
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100}}],
        },
    )
    # What others run: two On-Demand instances, one that is stopped, one Spot instance.
    run = dict(ImageId=image, SubnetId=subnet, MinCount=1, MaxCount=1)
    ec2.run_instances(**run | {"MinCount": 2, "MaxCount": 2}, InstanceType="m5.large")
    stopped = ec2.run_instances(**run, InstanceType="m5.4xlarge")["Instances"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.run_instances(**run, InstanceType="c5.xlarge", InstanceMarketOptions={"MarketType": "spot"})
    assume = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [assume]})
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName="batch")
    iam.add_role_to_instance_profile(InstanceProfileName="batch", RoleName="batch")
    profile = iam.get_instance_profile(InstanceProfileName="batch")["InstanceProfile"]["Arn"]

    def environment(name, kind, types, tag="steer", **more):
        resources = {
            "type": kind,
            "minvCpus": 0,
            "maxvCpus": 256,
            "desiredvCpus": 0,
            "instanceTypes": types,
            "subnets": [subnet],
            "securityGroupIds": [group],
            "instanceRole": profile,
        } | more
        if kind == "SPOT":
            resources |= {"bidPercentage": 100, "spotIamFleetRole": role}
        return batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            state="ENABLED",
            computeResources=resources,
            serviceRole=role,
            tags={"autotune": tag},
        )["computeEnvironmentArn"]

    # The second type of `spot` is one that EC2 knows and the catalogue does not.
    template = {"launchTemplateName": "batch", "version": "$Latest"}
    spot = environment("spot", "SPOT", ["m5.large", "mac2.metal"], launchTemplate=template)
    on_demand = environment("on-demand", "EC2", ["c5.large", "c5.xlarge"])
    order = [
        {"order": 1, "computeEnvironment": spot},
        {"order": 2, "computeEnvironment": on_demand},
    ]
    queue = batch.create_job_queue(
        jobQueueName="nightly", state="ENABLED", priority=5, computeEnvironmentOrder=order
    )["jobQueueArn"]
    # The one that a daemon of the tests really steers.
    steered = environment("steered", "EC2", ["c5.large"], tag="enabled")
    batch.create_job_queue(
        jobQueueName="urgent",
        state="ENABLED",
        priority=9,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": steered}],
    )
    definition = batch.register_job_definition(
        jobDefinitionName="align",
        type="container",
        containerProperties={
            "image": "busybox",
            "command": ["true"],
            "resourceRequirements": [
                {"type": "VCPU", "value": "2"},
                {"type": "MEMORY", "value": "4096"},
            ],
        },
    )["jobDefinitionArn"]
    for at in range(3):
        batch.submit_job(jobName=f"job-{at}", jobQueue=queue, jobDefinition=definition)

    work = sqs.create_queue(QueueName="work")["QueueUrl"]
    for at in range(7):
        sqs.send_message(QueueUrl=work, MessageBody=str(at))
    sqs.send_message(QueueUrl=work, MessageBody="later", DelaySeconds=900)
    events = sqs.create_queue(QueueName="events")["QueueUrl"]
    event = {
        "source": "aws.ec2",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "time": "2026-06-21T00:00:00Z",
        "detail": {"instance-id": "i-1", "instance-action": "terminate"},
    }
    for at in range(11):
        sqs.send_message(QueueUrl=events, MessageBody=json.dumps(event))
    sqs.send_message(QueueUrl=events, MessageBody="no event")
    sqs.create_queue(QueueName="steered-events")
    dead = sqs.create_queue(QueueName="nightly-dead")["QueueUrl"]
    dead = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 3})
    sqs.create_queue(QueueName="nightly-incoming", Attributes={"RedrivePolicy": redrive})
    sqs.create_queue(QueueName="nightly.fifo", Attributes={"FifoQueue": "true"})
    for group in ["autotune", "steered"]:
        client("scheduler").create_schedule_group(Name=group)
    client("dynamodb").create_table(
        TableName="autotune",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


if __name__ == "__main__":
    main(sys.argv[1])
