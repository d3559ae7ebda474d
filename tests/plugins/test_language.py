"""The Python language host, with real programs, and a monitor that takes every resource."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, resource_pb2, resource_pb2_grpc

from harness.waiting import wait_until
from tests.plugins.harness import NotingEngine, engine, plugin, struct


@dataclass
class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Registers what a program makes."""

    registered: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def SupportsFeature(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id == "secrets")

    def RegisterResource(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.registered.append(request.type)
        urn = f"urn:pulumi:dev::p::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)

    def RegisterResourceOutputs(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.outputs = PropertyValue.unmarshal_map(request.outputs)
        return Empty()

    def SignalAndWaitForShutdown(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return Empty()


@dataclass
class Host:
    """A language host, what it is connected to, and the project it works on."""

    stub: Any
    address: str
    engine: NotingEngine
    monitor: Monitor
    project: Path

    def info(self, **options: str) -> Any:
        return language_pb2.ProgramInfo(
            root_directory=str(self.project),
            program_directory=str(self.project),
            entry_point=".",
            options=struct({"toolchain": "pip", "virtualenv": sys.prefix} | options),
        )

    def run(self, program: str, **config: str) -> Any:
        (self.project / "__main__.py").write_text(program)
        return self.stub.Run(
            language_pb2.RunRequest(
                project="p",
                stack="dev",
                pwd=str(self.project),
                info=self.info(),
                config=config,
                configSecretKeys=[key for key in config if key.endswith("password")],
                parallel=4,
                monitor_address=self.address,
            )
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    monitor = Monitor()

    def add_monitor(server: Any) -> None:
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)

    stub = language_pb2_grpc.LanguageRuntimeStub
    with engine(add_monitor) as (noting, address), plugin("language", stub, address) as client:
        yield Host(client, address, noting, monitor, tmp_path)


def test_runs_a_program_with_its_config_and_exports(host: Host) -> None:
    program = """
import os, sys, pulumi
config = pulumi.Config()
pulumi.export("size", config.require_int("size"))
pulumi.export("secret", config.require_secret("password"))
pulumi.export("names", [pulumi.get_project(), pulumi.get_stack()])
pulumi.export("where", os.getcwd())
pulumi.export("argv", sys.argv)
"""
    answer = host.run(program, **{"p:size": "3", "p:password": "hush"})
    assert (answer.error, answer.bail) == ("", False)
    assert host.monitor.registered == ["pulumi:pulumi:Stack"]
    outputs = host.monitor.outputs
    assert (outputs["size"].value, outputs["where"].value) == (3, str(host.project))
    assert outputs["names"].value == (PropertyValue("p"), PropertyValue("dev"))
    assert outputs["argv"].value == (PropertyValue("."),)
    assert outputs["secret"] == PropertyValue("hush", is_secret=True)


def test_a_program_imports_its_neighbours_and_not_the_lab(host: Host) -> None:
    (host.project / "neighbour.py").write_text("here = True")
    program = "import neighbour, importlib.util as u, pulumi\n"
    program += "pulumi.export('lab', u.find_spec('lab') is not None)\n"
    assert host.run(program).error == ""
    assert host.monitor.outputs == {"lab": PropertyValue(False)}


def test_a_run_error_is_one_line(host: Host) -> None:
    answer = host.run("import pulumi\nraise pulumi.RunError('replicas: expected 1 or more, got 0')")
    assert host.engine.messages == ["replicas: expected 1 or more, got 0"]
    assert answer.error == "program exited with non-zero exit code: 1"


def test_any_other_error_shows_the_programs_own_traceback(host: Host) -> None:
    answer = host.run("def f():\n    return 1 / 0\nf()")
    assert (answer.error, answer.bail) == ("", True)
    (message,) = host.engine.messages
    lines = message.splitlines()
    assert lines[0] == "Program failed with an unhandled exception:"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "__main__.py" in lines[2]
    assert "pulumi-language-python-exec" not in message


def test_a_program_that_only_exits_tells_its_code(host: Host) -> None:
    assert host.run("import os; os._exit(7)").error == "program exited with non-zero exit code: 7"


def test_reports_the_providers_that_the_installed_packages_name(host: Host) -> None:
    request = language_pb2.GetRequiredPackagesRequest(info=host.info())
    found = {p.name: p for p in host.stub.GetRequiredPackages(request).packages}
    assert set(found) == {"kubernetes", "random"}
    assert found["random"].kind == "resource"
    assert found["random"].version.startswith("v4.")


def test_runs_a_provider_that_is_a_folder(host: Host) -> None:
    program = "import os, sys\nprint(7)\nprint(os.environ['A'], file=sys.stderr)\n"
    (host.project / "__main__.py").write_text(program + "sys.exit(len(sys.argv))")
    request = language_pb2.RunPluginRequest(
        pwd=str(host.project), args=["127.0.0.1:1"], env=["A=b=c"], info=host.info()
    )
    answers = list(host.stub.RunPlugin(request))
    assert b"".join(answer.stdout for answer in answers) == b"7\n"
    assert b"".join(answer.stderr for answer in answers) == b"b=c\n"
    assert answers[-1].exitcode == 2


def _required(host: Host, info: Any) -> None:
    host.stub.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"virtualenv": ""}, "needs the option 'virtualenv'"),
        ({"virtualenv": "missing"}, "doesn't appear to be a virtual environment"),
        ({"toolchain": "poetry"}, "knows the toolchain 'pip' only, not 'poetry'"),
    ],
)
def test_wrong_options_are_one_line(host: Host, options: dict[str, str], message: str) -> None:
    with pytest.raises(grpc.RpcError, match=message):
        _required(host, host.info(**options))


def test_installs_into_a_new_virtual_environment(host: Host) -> None:
    (host.project / "requirements.txt").write_text("")
    request = language_pb2.InstallDependenciesRequest(info=host.info(virtualenv="fresh"))
    said = b"".join(part.stdout for part in host.stub.InstallDependencies(request)).decode()
    assert said.startswith("Installing dependencies...")
    assert said.endswith("Finished installing dependencies\n\n")
    assert (host.project / "fresh/bin/python").exists()


def test_a_failed_installation_says_so(host: Host) -> None:
    (host.project / "requirements.txt").write_text("./no-such-folder")
    request = language_pb2.InstallDependenciesRequest(info=host.info())
    with pytest.raises(grpc.RpcError, match="failed with exit code 1"):
        list(host.stub.InstallDependencies(request))


@pytest.mark.parametrize(
    "stop",
    [
        lambda _host, call: call.cancel(),
        lambda host, _call: host.stub.Cancel(Empty()),
    ],
    ids=["call cancelled", "host cancelled"],
)
def test_stops_a_program_that_the_engine_gives_up(
    host: Host, stop: Callable[[Host, Any], Any]
) -> None:
    mark = host.project / "running"
    (host.project / "__main__.py").write_text(
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    request = language_pb2.RunRequest(
        project="p", stack="dev", pwd=str(host.project), info=host.info(), parallel=1
    )
    request.monitor_address = host.address
    call = host.stub.Run.future(request)
    wait_until(lambda: mark.exists() and mark.read_text(), 120, "the program runs", every=0.05)
    stop(host, call)
    wait_until(
        lambda: not Path(f"/proc/{mark.read_text()}").exists(), 120, "the program ends", every=0.05
    )
