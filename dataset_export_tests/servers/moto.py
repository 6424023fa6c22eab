"""A second S3 server for the tests, which also has users, roles and temporary credentials: moto, on loopback.

Its first requests need no credentials, so that users can be made; after them it checks signatures and policies.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from dataset_export_tests.servers.weed import REGION, Credentials, free_ports

START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Moto:
    """A running server and an administrator of it."""

    endpoint: str
    admin: Credentials

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """A boto3 client of a service (s3, iam, sts)."""
        import boto3

        credentials = credentials or self.admin
        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
        )

    def user(self, name: str, policy: Mapping[str, Any]) -> Credentials:
        """A new user that may do what `policy` says, and nothing else."""
        return _user(self.client("iam"), name, policy)

    def role(self, name: str, policy: Mapping[str, Any], *, external_id: str) -> str:
        """The ARN of a new role that may do what `policy` says, for whoever may assume it and gives the external id."""
        iam = self.client("iam")
        allowed: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        allowed["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
        trust = {"Version": "2012-10-17", "Statement": [allowed]}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
        return role["Arn"]


@contextmanager
def running_moto() -> Iterator[Moto]:
    """Start the server, wait for its administrator, and kill it by its pid at the end."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"INITIAL_NO_AUTH_ACTION_COUNT": "3"}
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                with urlopen(f"{endpoint}/moto-api/data.json"):
                    break
            except (URLError, OSError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"moto did not start: {error}") from error
                time.sleep(0.1)
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        anyone = Moto(endpoint, Credentials("anyone", "anything"))
        yield Moto(endpoint, _user(anyone.client("iam"), "admin", everything))
    finally:
        process.kill()
        process.wait()


def _user(iam: Any, name: str, policy: Mapping[str, Any]) -> Credentials:
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])
