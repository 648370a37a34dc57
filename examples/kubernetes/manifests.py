"""Validates the manifests against the schemas of Kubernetes, and unpacks what their containers run.

For each FILE.yaml with a container `export`, FOLDER gets FILE.sh (its script) and FILE.env (its env, sourceable)."""

import shlex
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# backoffLimitPerIndex and podFailurePolicy are stable from 1.33 on.
VERSIONS = ["1.33", "1.35", "1.37"]


def require(true, message):
    if not true:
        sys.exit(message)


def job_of(resource):
    return {"Job": lambda: resource["spec"], "CronJob": lambda: resource["spec"]["jobTemplate"]["spec"]}.get(
        resource["kind"], lambda: None
    )()


def main(folder, files):
    for file in files:
        for resource in yaml.safe_load_all(file.read_text()):
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(resource, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    sys.exit(f"{file.name}: {resource['kind']}, Kubernetes {version}: {error.message}")
            job = job_of(resource)
            if job is None:
                continue
            [container] = job["template"]["spec"]["containers"]
            fatal = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
            require(
                fatal == [{"containerName": container["name"], "operator": "In", "values": [2, 3]}],
                f"{file.name}: 2 and 3 should end the job, and nothing else",
            )
            env = {variable["name"]: variable["value"] for variable in container.get("env", [])}
            if job.get("completionMode") == "Indexed":
                require(int(env["SHARDS"]) == job["completions"], f"{file.name}: SHARDS and completions differ")
                require(job["parallelism"] <= 4, f"{file.name}: more than 4 requests to Amplitude at once")
            require(container["command"] == ["/bin/sh", "-c"], f"{file.name}: the check runs shell scripts only")
            (folder / f"{file.stem}.sh").write_text(container["args"][0])
            lines = [f"export {name}={shlex.quote(value)}\n" for name, value in env.items()]
            (folder / f"{file.stem}.env").write_text("".join(lines))


main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
