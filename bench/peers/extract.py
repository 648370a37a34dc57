"""The job as it is usually written in Python: requests, zipfile, gzip. Reads the settings of amp-extract from the environment."""

import gzip
import os
import shutil
import sys
import zipfile

import requests

start, end = sys.argv[1:3]
unpack = sys.argv[3:] != ["--keep-gzip"]
os.makedirs("extracted_data", exist_ok=True)
with requests.get(
    os.environ["AMP_BASE_URL"] + "/api/2/export",
    params={"start": start, "end": end},
    auth=(os.environ["AMP_API_KEY"], os.environ["AMP_SECRET_KEY"]),
    stream=True,
    timeout=300,
) as response:
    response.raise_for_status()
    with open("export.zip", "wb") as archive:
        for chunk in response.iter_content(1 << 20):
            archive.write(chunk)
with zipfile.ZipFile("export.zip") as archive:
    for name in archive.namelist():
        final = os.path.join("extracted_data", os.path.basename(name))
        with archive.open(name) as member:
            if unpack:
                with gzip.open(member) as events, open(final.removesuffix(".gz"), "wb") as file:
                    shutil.copyfileobj(events, file)
            else:
                with open(final, "wb") as file:
                    shutil.copyfileobj(member, file)
os.remove("export.zip")
