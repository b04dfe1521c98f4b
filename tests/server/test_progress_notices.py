"""How often a host is told how far a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from planact_server.progress import BURST, PAUSE_SECONDS, ProgressNotices

if TYPE_CHECKING:
    import pytest

Sent = list[tuple[float, float | None, str]]


def notices() -> tuple[ProgressNotices, Sent, anyio.Event]:
    sent: Sent = []
    last = anyio.Event()

    async def send(reached: float, total: float | None, text: str) -> None:
        sent.append((reached, total, text))
        if text == "last":
            last.set()

    return ProgressNotices(send), sent, last


async def test_a_plan_that_says_it_ten_thousand_times_is_heard_a_few_times() -> None:
    told, sent, _ = notices()

    began = anyio.current_time()
    for number in range(10_000):
        await told.report(f"step {number}", number / 10_000)
    took = anyio.current_time() - began
    await told.finish()

    assert len(sent) <= BURST + 2 + took / PAUSE_SECONDS
    assert (sent[0][2], sent[-1][2]) == ("step 0", "step 9999")


async def test_what_came_too_soon_is_said_a_moment_later() -> None:
    told, sent, last = notices()

    for number in range(BURST):
        await told.report(str(number), None)
    await told.report("last", 0.5)
    assert len(sent) == BURST
    with anyio.fail_after(10):
        await last.wait()

    assert sent[-1] == (0.5, 1.0, "last")


async def test_every_value_is_larger_than_the_one_before() -> None:
    told, sent, _ = notices()

    for fraction in (0.5, 0.2, None, 0.5):
        await told.report("on", fraction)
        await told.finish()

    reached = [value for value, _, _ in sent]
    assert len(reached) == 4
    assert reached == sorted(set(reached))


async def test_nothing_waits_where_nothing_was_said() -> None:
    told, sent, _ = notices()

    await told.finish()

    assert sent == []


async def test_a_host_that_does_not_listen_holds_a_plan_up_once_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("planact_server.progress.PATIENCE_SECONDS", 0.05)
    tried: list[str] = []

    async def send(_reached: float, _total: float | None, text: str) -> None:
        tried.append(text)
        await anyio.sleep_forever()

    told = ProgressNotices(send)
    with anyio.fail_after(10):
        for number in range(5):
            await told.report(str(number), None)
        await told.finish()
    assert tried == ["0"]
