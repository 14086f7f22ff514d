"""Walks through the operations with boto3: paginators, typed errors, a hash-only report. Exits 1 at the first surprise."""
import sys

import boto3
from botocore.exceptions import ClientError

ssm = boto3.client("ssm", endpoint_url=sys.argv[1])
NODES = ["i-0000000000000b%03d" % n for n in range(7)]
ITEM = {"TypeName": "AWS:Application", "SchemaVersion": "1.1", "CaptureTime": "2026-01-02T03:04:05Z", "ContentHash": "h1"}
CONTENT = [{"Name": "openssl", "Version": "3.0.%d" % n} for n in range(3)]


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return "no error", 200


def same(got, want):
    if got != want:
        sys.exit("got %r, want %r" % (got, want))


same(code_of(ssm.put_inventory, InstanceId=NODES[0], Items=[ITEM]), ("ItemContentMismatchException", 400))
for node in NODES:
    ssm.put_inventory(InstanceId=node, Items=[dict(ITEM, Content=CONTENT)])
later = dict(ITEM, CaptureTime="2026-01-03T03:04:05Z")
ssm.put_inventory(InstanceId=NODES[0], Items=[later])
listing = ssm.list_inventory_entries(InstanceId=NODES[0], TypeName="AWS:Application")
same(listing["CaptureTime"], later["CaptureTime"])
same(listing["Entries"], CONTENT)
same("NextToken" in listing, False)

pages = ssm.get_paginator("get_inventory").paginate(PaginationConfig={"PageSize": 3})
same([entity["Id"] for page in pages for entity in page["Entities"]], NODES)
schemas = [s["TypeName"] for page in ssm.get_paginator("get_inventory_schema").paginate() for s in page["Schemas"]]
same(schemas, sorted(schemas))
same(len(schemas), 15)
below = {"Key": "AWS:Application.Version", "Values": ["3.0.1"], "Type": "LessThan"}
same(len(ssm.get_inventory(Filters=[below])["Entities"]), 7)
same(code_of(ssm.get_inventory, NextToken="AAAA"), ("InvalidNextToken", 400))
same(code_of(ssm.describe_inventory_deletions, DeletionId="01234567-89ab-cdef-0123-456789abcdef"), ("InvalidDeletionIdException", 400))
same(code_of(ssm.describe_maintenance_windows), ("UnknownOperationException", 400))
print("all of it held")
