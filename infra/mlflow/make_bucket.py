"""Make the S3 bucket that MLflow keeps artifacts in: ``python make_bucket.py NAME``.

MLflow does not make it. Server and user: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY.
"""

import sys

import boto3

name = sys.argv[1]
s3 = boto3.client("s3")
if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
    s3.create_bucket(Bucket=name)
