"""The calendar on real SQLite, in one process and in several."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from planact_tools import JSONValue, Pack, ToolCall, ToolError, load_pack
from planact_tools.packs.calendar import Calendar

DAY = "2026-12-01"


@asynccontextmanager
async def calendar(state: Path) -> AsyncGenerator[Pack]:
    pack = load_pack("calendar", base=state, state=state)
    try:
        yield pack
    finally:
        await pack.aclose()


async def ask(pack: Pack, tool: str, **arguments: JSONValue) -> Any:
    return (await pack.call(ToolCall(name=tool, arguments=arguments))).value


async def book(pack: Pack, start: str, end: str, title: str = "Meeting") -> Any:
    return await ask(pack, "make_appointment", day=DAY, start_time=start, end_time=end, title=title)


async def is_free(pack: Pack, start: str, end: str) -> Any:
    return await ask(pack, "check_availability", day=DAY, start_time=start, end_time=end)


async def test_the_articles_scenario(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        assert await is_free(pack, "10:00", "12:00") is True
        booked = await book(pack, "10:00", "12:00", "Meeting with Thomas")
        assert booked == {
            "id": 1, "day": DAY, "start_time": "10:00", "end_time": "12:00", "title": "Meeting with Thomas"
        }  # fmt: skip
        assert await ask(pack, "add_to_reminders", reminder_text="See Thomas") is True
        assert await is_free(pack, "11:00", "13:00") is False
        assert await ask(pack, "list_appointments") == [booked]
        reminders = await ask(pack, "list_reminders")
        assert [(each["id"], each["text"]) for each in reminders] == [(1, "See Thomas")]


async def test_appointments_may_touch_and_not_overlap(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        await book(pack, "10:00", "12:00")
        slots = [
            ("09:00", "10:00"),
            ("12:00", "13:00"),
            ("11:59", "13:00"),
            ("09:00", "10:01"),
            ("10:30", "11:00"),
            ("00:00", "23:59"),
        ]
        assert [await is_free(pack, *slot) for slot in slots] == [True, True, False, False, False, False]


async def test_a_double_booking_is_refused_and_names_the_appointment_in_the_way(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        await book(pack, "10:00", "12:00", "Dentist")

        with pytest.raises(ToolError) as caught:
            await book(pack, "11:00", "13:00")

        assert caught.value.message == (
            f"{DAY} 11:00 to 13:00 is not free: appointment 1 'Dentist' is from 10:00 to 12:00."
        )
        assert len(await ask(pack, "list_appointments")) == 1


async def test_a_cancelled_time_is_free_again_and_its_number_is_not_reused(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        booked = await book(pack, "10:00", "12:00")
        assert await ask(pack, "cancel_appointment", id=1) == booked
        assert await is_free(pack, "10:00", "12:00") is True
        with pytest.raises(ToolError, match=r"There is no appointment 1\. list_appointments"):
            await ask(pack, "cancel_appointment", id=1)
        assert (await book(pack, "10:00", "12:00"))["id"] == 2


async def test_appointments_are_listed_by_time_and_by_day(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        await book(pack, "12:00", "13:00", "second")
        await book(pack, "08:00", "09:00", "first")
        await ask(pack, "make_appointment", day="2026-11-30", start_time="10:00", end_time="11:00", title="zeroth")

        everything = await ask(pack, "list_appointments")
        that_day = await ask(pack, "list_appointments", day=DAY)

        assert [each["title"] for each in everything] == ["zeroth", "first", "second"]
        assert [each["title"] for each in that_day] == ["first", "second"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"day": "01.12.2026"}, "day '01.12.2026' is not a day written YYYY-MM-DD, like '2026-12-01': not of the form"),
        ({"day": "20261201"}, "day '20261201' is not a day written YYYY-MM-DD"),
        ({"day": "2026-W49-2"}, "day '2026-W49-2' is not a day written YYYY-MM-DD"),
        ({"day": "2026-02-30"}, "like '2026-12-01': day is out of range for month."),
        ({"day": "٢٠٢٦-12-01"}, "is not a day written YYYY-MM-DD"),
        ({"start_time": "9:00"}, "start_time '9:00' is not a time written HH:MM from 00:00 to 23:59, like '09:30'."),
        ({"end_time": "24:00"}, "end_time '24:00' is not a time written HH:MM"),
        ({"end_time": "12:00\n"}, r"end_time '12:00\n' is not a time written HH:MM"),
        (
            {"end_time": "10:00"},
            "end_time '10:00' is not after start_time '10:00'; an appointment stays within one day.",
        ),
        ({"title": "  "}, "title is empty."),
        ({"title": "\ud800"}, "title '\\ud800' is not valid Unicode text."),
    ],
)
async def test_bad_input_is_refused_in_words(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    arguments = {"day": DAY, "start_time": "10:00", "end_time": "12:00", "title": "x"} | changes
    async with calendar(tmp_path) as pack:
        with pytest.raises(ToolError) as caught:
            await ask(pack, "make_appointment", **arguments)
        assert message in caught.value.message
        assert await ask(pack, "list_appointments") == []


async def test_what_is_stored_stays(tmp_path: Path) -> None:
    async with calendar(tmp_path / "new" / "folder") as pack:
        booked = await book(pack, "10:00", "12:00")
    async with calendar(tmp_path / "new" / "folder") as pack:
        assert await ask(pack, "list_appointments") == [booked]


async def test_of_many_calls_at_once_one_gets_the_time(tmp_path: Path) -> None:
    async with calendar(tmp_path) as pack:
        calls = [book(pack, "10:00", "12:00", f"number {number}") for number in range(20)]
        answers = await asyncio.gather(*calls, return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["ToolError"] * 19 + ["dict"]


async def test_a_file_that_is_no_calendar_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "calendar.sqlite3").write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    async with calendar(tmp_path) as pack:
        with pytest.raises(
            ToolError, match="Pack 'calendar' could not be opened: DatabaseError: file is not a database"
        ):
            await ask(pack, "list_reminders")


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "calendar.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")
    async with calendar(tmp_path) as pack:
        with pytest.raises(ToolError, match=r"was written by a newer Planact \(format 99\)"):
            await ask(pack, "list_reminders")


def test_all_that_open_a_new_file_at_once_get_it(tmp_path: Path) -> None:
    """SQLite does not wait by itself where two switch a file to write-ahead logging."""

    def open_and_close(file: Path, start_line: threading.Barrier) -> None:
        start_line.wait(5)
        with Calendar(file).opened():
            pass

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            file, start_line = tmp_path / f"{number}.sqlite3", threading.Barrier(8)
            for done in [threads.submit(open_and_close, file, start_line) for _ in range(8)]:
                done.result(20)


BOOK_THE_WHOLE_DAY = """
import asyncio, sys
from pathlib import Path
from planact_tools import ToolCall, ToolError, load_pack

async def main():
    pack = load_pack("calendar", base=Path(sys.argv[1]), state=Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    made = 0
    for hour in range(24):
        times = {"day": "2026-12-01", "start_time": f"{hour:02}:00", "end_time": f"{hour:02}:59", "title": "x"}
        try:
            await pack.call(ToolCall(name="make_appointment", arguments=times))
            made += 1
        except ToolError as error:
            if "is not free" not in error.message:
                raise
    await pack.aclose()
    print(made)

asyncio.run(main())
"""


async def test_processes_that_open_and_book_at_once_never_book_the_same_time(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", BOOK_THE_WHOLE_DAY, str(tmp_path)]
    with anyio.fail_after(30):
        async with AsyncExitStack() as stack:
            processes = [await stack.enter_async_context(await anyio.open_process(argv, stderr=None)) for _ in range(3)]
            outputs = [BufferedByteReceiveStream(process.stdout) for process in processes]
            assert [await output.receive_until(b"\n", 100) for output in outputs] == [b"ready"] * 3
            for process in processes:
                await process.stdin.send(b"go\n")  # type: ignore[union-attr]
            made = [int(await output.receive_until(b"\n", 100)) for output in outputs]
    async with calendar(tmp_path) as pack:
        booked = await ask(pack, "list_appointments")

    assert sum(made) == 24
    assert [each["start_time"] for each in booked] == [f"{hour:02}:00" for hour in range(24)]
