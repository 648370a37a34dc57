"""The job as it is usually written in Python: boto3's upload_file, then remove. Takes the bucket, the prefix and the endpoint."""

import os
import sys

import boto3

bucket, prefix, endpoint = sys.argv[1:4]
s3 = boto3.client("s3", endpoint_url=endpoint)
for name in sorted(os.listdir("extracted_data")):
    path = os.path.join("extracted_data", name)
    s3.upload_file(path, bucket, prefix + name)
    os.remove(path)
