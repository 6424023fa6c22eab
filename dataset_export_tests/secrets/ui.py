"""The UI as a browser sees it: a real `dagster-webserver`, and what it answers to the questions of its pages."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dataset_export_tests.secrets.search import Written
from dataset_export_tests.servers.weed import free_ports

START_TIMEOUT = 120.0
SCHEMA = """
query { __schema { queryType { name } types { name kind possibleTypes { name }
  fields(includeDeprecated: true) { name args { name type { kind } defaultValue }
    type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
"""
LAUNCH = """
mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
ERRORS = """
query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events { ... on ErrorEvent {
  error { message stack errorChain { isExplicitLink error { message stack className } } } } } } } }
"""
RUN_TIMEOUT = 120.0
SKIPPED = frozenset(
    {
        "dataVersionByPartition",
        "daemonStatus",
        "concurrencyLimit",
        "staleStatusByPartition",
        "staleCausesByPartition",
        "stepStats",
        "pipelineName",
        "ErrorChainLink.message",
        "ErrorChainLink.stack",
    }
)
"""Fields whose resolvers fail unless they are asked in one certain way."""
LEVELS = {
    "instance": 2,
    "workspaceOrError": 3,
    "repositoriesOrError": 3,
    "assetNodes": 2,
    "assetsOrError": 3,
    "runsOrError": 3,
}
"""What pages begin with, and how many levels below it they show."""
OF_REPOSITORIES = {"allTopLevelResourceDetailsOrError": 4, "utilizedEnvVarsOrError": 4}

Field = dict[str, Any]


@dataclass
class Browser:
    """Asks the server at `address` what pages ask it."""

    address: str
    answers: list[Written] = field(default_factory=list[Written])

    def ask(self, where: str, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer, which is kept to be searched."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=120) as answer:
                data: bytes = answer.read()
        except HTTPError as error:
            data = error.read()
        self.answers.append(Written(f"UI, {where}", data))
        document = json.loads(data)
        if "errors" in document:
            raise RuntimeError(f"{where}: {document['errors'][:3]}")
        return document["data"]

    def launch(self, location: str, job: str, partition: str) -> str:
        """Run a job as the page of an asset does, in a process of its own; the status in which it ends."""
        parameters = {
            "selector": {"repositoryLocationName": location, "repositoryName": "__repository__", "jobName": job},
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        launched = self.ask(f"launch of {job}", LAUNCH, parameters=parameters)["launchRun"]
        run: str = launched["run"]["runId"]
        deadline = time.monotonic() + RUN_TIMEOUT
        while time.monotonic() < deadline:
            status: str = self.ask("status", STATUS, run=run)["runOrError"]["status"]
            if status in {"SUCCESS", "FAILURE"}:
                return status
            time.sleep(0.5)
        raise RuntimeError(f"the run {run} of {job} does not end")

    def look_everywhere(self) -> list[Written]:
        """What every page could show: of the instance, the code locations, resources, launchpads, assets and runs."""
        for where, depth in LEVELS.items():
            self._look(where, "", depth)
        for repository, jobs in self._repositories():
            for where, depth in OF_REPOSITORIES.items():
                self._look(where, f"(repositorySelector: {{{repository}}})", depth)
            for job in jobs:
                selector = f"{{{repository}, pipelineName: {json.dumps(job)}}}"
                self._look("runConfigSchemaOrError", f'(selector: {selector}, mode: "default")', 1)
                self._look("pipelineOrError", f"(params: {selector})", 1)
        found = self.ask("runs", "query { runsOrError { ... on Runs { results { runId } } } }")
        for run in [one["runId"] for one in found["runsOrError"]["results"]]:
            self._look("logsForRun", f"(runId: {json.dumps(run)})", 2)
            self.ask(f"errors of {run}", ERRORS, run=run)
            # Everything of a run: what the page offers to send to somebody who helps.
            self._get(f"/download_debug/{run}")
            for key in self._captured(run):
                self._look("capturedLogs", f"(logKey: {json.dumps([run, 'compute_logs', key])})", 1)
        return self.answers

    def _look(self, root: str, arguments: str, depth: int) -> None:
        (found,) = [one for one in self._types["Query"]["fields"] if one["name"] == root]
        selection = self._selection(_named(found["type"]), depth, ())
        self.ask(f"{root}{arguments}", f"query {{ {root}{arguments} {selection} }}")

    def _get(self, path: str) -> None:
        with urlopen(self.address + path, timeout=120) as answer:
            self.answers.append(Written(f"UI, {path}", answer.read()))

    def _repositories(self) -> Iterator[tuple[str, list[str]]]:
        """How each is selected, and its jobs."""
        query = """query { repositoriesOrError { ... on RepositoryConnection { nodes {
          name location { name } pipelines { name } } } } }"""
        for node in self.ask("names", query)["repositoriesOrError"]["nodes"]:
            name, location = json.dumps(node["name"]), json.dumps(node["location"]["name"])
            jobs = [one["name"] for one in node["pipelines"]]
            yield f"repositoryName: {name}, repositoryLocationName: {location}", jobs

    def _captured(self, run: str) -> list[str]:
        query = """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
          ... on LogsCapturedEvent { fileKey } } } } }"""
        events = self.ask("captured output", query, run=run)["logsForRun"]["events"]
        return [event["fileKey"] for event in events if "fileKey" in event]

    @cached_property
    def _types(self) -> Mapping[str, Any]:
        return {one["name"]: one for one in self.ask("schema", SCHEMA)["__schema"]["types"]}

    def _selection(self, name: str, depth: int, above: tuple[str, ...]) -> str:
        """Everything of a type that can be asked for without an argument, `depth` levels deep."""
        type_ = self._types[name]
        if type_["kind"] in {"SCALAR", "ENUM"}:
            return ""
        parts = ["__typename"]
        if type_["kind"] in {"UNION", "INTERFACE"}:
            for possible in type_["possibleTypes"]:
                inner = self._fields(possible["name"], depth, above)
                parts += [f"... on {possible['name']} {{ {' '.join(inner)} }}"] if inner else []
        else:
            parts += self._fields(name, depth, above)
        return f"{{ {' '.join(parts)} }}"

    def _fields(self, name: str, depth: int, above: tuple[str, ...]) -> list[str]:
        selected: list[str] = []
        for one in self._types[name]["fields"]:
            required = [arg for arg in one["args"] if arg["type"]["kind"] == "NON_NULL" and arg["defaultValue"] is None]
            inner = _named(one["type"])
            leaf = self._types[inner]["kind"] in {"SCALAR", "ENUM"}
            skipped = {one["name"], f"{name}.{one['name']}"} & SKIPPED
            if required or skipped or inner in above or (not leaf and not depth):
                continue
            # Members of a union may call different things by the same name.
            alias = f"{one['name']}_of_{name}: {one['name']}"
            selected.append(f"{alias} {self._selection(inner, depth - 1, (*above, name))}")
        return selected


def _named(type_: Mapping[str, Any]) -> str:
    while type_["name"] is None:
        type_ = type_["ofType"]
    return type_["name"]


@contextmanager
def running_webserver(
    home: Path, workspace: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> Iterator[Browser]:
    """Start the server, wait until it answers, and stop it by its pid."""
    [port] = free_ports(1)
    file = home / "workspace.yaml"
    file.write_text(json.dumps(workspace))
    command = [
        str(Path(sys.executable).parent / "dagster-webserver"), "--workspace", str(file),
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment, "DAGSTER_HOME": str(home)},
            cwd=home,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5).close()
                break
            except (URLError, OSError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the webserver did not start: {log.read_text()[-3000:]}") from error
                time.sleep(0.2)
        yield Browser(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(60)
