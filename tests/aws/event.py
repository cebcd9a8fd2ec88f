#!/usr/bin/env python3
"""Sends what stands on standard input, one JSON document a line, to an SQS queue: event.py ENDPOINT QUEUE."""

import sys

import boto3


def main(endpoint, queue):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    sqs = boto3.client("sqs", region_name="eu-central-1", endpoint_url=endpoint, **keys)
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    for line in sys.stdin:
        sqs.send_message(QueueUrl=url, MessageBody=line)


if __name__ == "__main__":
    main(*sys.argv[1:])
