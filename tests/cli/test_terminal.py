"""Commands on a real terminal: questions, Ctrl-C, what they say while they wait."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from planact_testing import Home, planact, workshop

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

import pty
import termios

SECONDS = 60.0


class Terminal:
    """One command on a pseudo-terminal of its own."""

    def __init__(self, home: Home, *arguments: str, columns: int = 80, cold: bool = False, **environment: str) -> None:
        command = planact(*arguments, cold=cold)
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(home.work)
            os.execve(command[0], command, {**home.environment, "TERM": "xterm", **environment})
        termios.tcsetwinsize(self._terminal, (40, columns))
        self.seen = ""
        self._deadline = time.monotonic() + SECONDS

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, text: str) -> None:
        while text not in self.plain:
            assert self._read(), f"ended before {text!r}: {self.seen}"

    def ended(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        _, status = os.waitpid(self._process, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    @property
    def plain(self) -> str:
        """What was shown, without colours."""
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", self.seen).replace("\r\n", "\n")

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], self._deadline - time.monotonic())[0]:
            os.kill(self._process, signal.SIGKILL)
            pytest.fail(f"nothing for {SECONDS} s after: {self.seen}")
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # the way in which Linux says that the other end is closed
            return False
        self.seen += read.decode(errors="replace")
        return bool(read)


@pytest.mark.parametrize(
    ("answer", "exit_code", "said"), [("y", 0, "is trusted until"), ("n", 1, "Nothing was changed")]
)
def test_trust_asks_on_the_terminal(home: Home, answer: str, exit_code: int, said: str) -> None:
    (home.work / "planact.toml").write_text('packs = ["calendar"]\n')
    terminal = Terminal(home, "trust", ".", cold=True)  # it asks the terminal that controls it
    terminal.read_until("[y/N]")
    terminal.type(f"{answer}\n")
    assert terminal.ended() == exit_code
    assert 'packs = ["calendar"]' in terminal.plain
    assert said in terminal.plain


def test_ctrl_c_stops_a_plan_and_shows_what_it_had_done(home: Home) -> None:
    (home.work / "plan.py").write_text(
        "z = pair_sum(a=[1], b=[2])\nimport time\nprogress('sleeping')\ntime.sleep(50)\n"
    )
    terminal = Terminal(home, "run", "--code", "plan.py")
    terminal.read_until("sleeping")
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert "z = pair_sum(a=[1], b=[2]) → [3]" in terminal.plain
    assert "cancelled" in terminal.plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["serve"], "for a host to start"), (["serve", "--http", "127.0.0.1:0"], "serving http")],
)
def test_ctrl_c_ends_a_server_on_a_terminal(home: Home, arguments: list[str], said: str) -> None:
    terminal = Terminal(home, *arguments)
    terminal.read_until(said)
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.seen


def test_a_slow_server_is_waited_for_by_name(home: Home) -> None:
    go = home.folder / "go"
    home.configure("", slow=workshop("--after", str(go)))
    terminal = Terminal(home, "servers", columns=40)
    terminal.read_until("Waiting for slow")
    go.touch()
    assert terminal.ended() == 0
    assert "ready" in terminal.plain


def test_colours_are_left_out_where_they_are_not_wanted(home: Home) -> None:
    terminal = Terminal(home, "packs", NO_COLOR="1")
    assert terminal.ended() == 0
    assert "calendar" in terminal.plain
    assert not re.search(r"\x1b\[[0-9;]*3\dm", terminal.seen)


async def test_what_a_tool_says_cannot_steer_the_terminal(home: Home) -> None:
    _, _, seen = await home.run("run", "--code", "-", stdin="print('\\x1b[2J')\nx = '\\x9b2J'\nx")
    assert "\x1b" not in seen
    assert "\x9b" not in seen
    assert "\\x1b[2J" in seen


async def test_json_is_printed_where_the_terminal_lacks_the_letters(home: Home) -> None:
    home.environment["PYTHONIOENCODING"] = "ascii"
    code, out, _ = await home.run("run", "--code", "-", "--json", stdin="'\\u2192'")
    assert code == 0
    assert json.loads(out)["result"] == "→"


def test_ctrl_c_before_a_command_has_begun_is_no_traceback(home: Home) -> None:
    early = """
import sys

class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "planact_server.cli.doctor":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from planact_server.cli import main

sys.exit(main(["doctor"]))
"""
    done = subprocess.run([sys.executable, "-P", "-c", early], env=home.environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
