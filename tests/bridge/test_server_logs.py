"""What servers write on standard error, on disk."""

import re
from pathlib import Path

from anyio import fail_after

from planact_bridge import ServerFiles
from planact_bridge.log_file import MAX_BYTES, LogFile, last_lines, older
from planact_tools import ToolCall


async def test_what_a_server_writes_on_standard_error_stays_between_starts(connect, tmp_path: Path) -> None:
    files = ServerFiles(tmp_path, "loud")
    with fail_after(20):
        for _ in range(2):
            server = connect("raw.py", "loud", files=files)
            await server.call(ToolCall(name="ok", arguments={}))
            await server.aclose()
    lines = [re.sub(r"\d\d\d\d-.*?\d\d\d\d |\d+$", "", line) for line in last_lines(files.log, 100)]
    assert lines == ["--- started, process ", "hello", "--- it exited with code "] * 2
    assert files.log.stat().st_mode & 0o077 == 0


def test_a_log_on_disk_is_bounded_though_two_processes_write_it(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    one, other = LogFile(path), LogFile(path)
    for number in range(60):
        for log in (one, other):
            log.write(b"%060d\n" % number * 1000)
    one.close()
    other.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.log", "x.log.1"]
    assert path.stat().st_size + older(path).stat().st_size < 2 * MAX_BYTES + 200_000
    assert last_lines(path, 1) == [f"{59:060d}"]


def test_the_newest_lines_reach_back_into_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    older(path).write_text("1\n2\n")
    path.write_text("3\n")
    assert last_lines(path, 2) == ["2", "3"]


def test_no_name_of_a_server_leads_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("../../evil", "..", "a/b", "C:\\x", "/etc/passwd"):
        assert ServerFiles(tmp_path, name).log.parent == tmp_path
