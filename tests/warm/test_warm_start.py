"""A warm start is a start: what the launcher stands for cannot tell the difference."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from warm.start import warm_python

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="started cold elsewhere")

SAYS_ALL = """
import json, os, sys
print(json.dumps([
    sys.argv[1:], dict(os.environ), os.getcwd(), sys.stdin.read(), sys.stdout.encoding, sys.flags.safe_path, __name__,
    sys.stdout.isatty(), "planact_server.app" in sys.modules, sorted(os.listdir("/proc/self/fd"))[:3],
    len(os.listdir("/proc/self/fd")),
]))
print("an error", file=sys.stderr)
sys.exit(5)
"""


def started(tmp_path: Path, source: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(source)
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(warm_python(str(script), *arguments), text=True, cwd=tmp_path, **(streams | options))


def test_a_process_has_arguments_environment_folder_streams_and_exit_code_of_its_own(tmp_path: Path) -> None:
    with started(tmp_path, SAYS_ALL, "one", "two words", env={"ONLY": "this"}) as process:
        out, errors = process.communicate("typed", timeout=30)

    environment = {"ONLY": "this"} | ({"LC_CTYPE": "C.UTF-8"} if "LC_CTYPE" in out else {})
    assert json.loads(out) == [
        ["one", "two words"],
        environment,
        str(tmp_path),
        "typed",
        "utf-8",
        True,
        "__main__",
        False,
        True,
        ["0", "1", "2"],
        4,  # the three, and the one that lists them
    ]
    assert (errors, process.returncode) == ("an error\n", 5)


def test_a_setting_of_python_gets_an_interpreter_that_reads_it(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    with started(tmp_path, "import sys; print(sys.stdout.encoding)", env=environment) as process:
        out, _ = process.communicate(timeout=30)
    assert out == "iso8859-1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_process_and_ends_the_launcher_alike(tmp_path: Path, number: signal.Signals) -> None:
    source = f"import signal\nsignal.signal({number:d}, signal.SIG_DFL)\nprint(flush=True)\nsignal.pause()"
    with started(tmp_path, source) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        process.wait(30)
    assert process.returncode == -number


def test_a_killed_launcher_takes_its_process_along(tmp_path: Path) -> None:
    with started(tmp_path, "import signal\nprint(flush=True)\nsignal.pause()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        assert process.stdout.read() == ""  # nobody has it open any longer


def test_the_server_ends_with_the_tests(tmp_path: Path) -> None:
    source = "from warm.start import warm_python\nimport subprocess\nsubprocess.run(warm_python('nothing.py'))"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", source],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    # Its output has come to an end, so that nobody is left who could write.
    assert "nothing.py" in ended.stdout
