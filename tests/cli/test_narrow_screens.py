"""Tables and plans on narrow screens: nothing that a person needs is cut away."""

import pytest

from planact_server.cli.report import print_answer
from planact_server.cli.terminal import print_table
from planact_testing import Home


def test_a_table_without_room_puts_the_cells_below_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(
        ["model", "size", "fits"], [["a-model-with-a-long-name:Q4_K_M", "398 MB", "on the CPU"], ["b", "", "no"]]
    )
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()] == [
        "a-model-with-a-long-name:Q4_K_M",
        "  size 398 MB · fits on the CPU",
        "b",
        "  fits no",
    ]


def test_a_table_is_folded_on_a_screen_and_whole_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ["host", "file"], [["zed", "~/" + "settings/" * 10 + "a.json"], ["b", "c d"]]
    monkeypatch.setenv("COLUMNS", "60")
    print_table(*table, folded=True)
    assert capsys.readouterr().err.splitlines() == [
        "host  file",
        "zed   ~/settings/settings/settings/settings/settings/setting",
        "      s/settings/settings/settings/settings/a.json",
        "b     c d",
    ]
    print_table(*table)
    assert capsys.readouterr().err.splitlines()[1].endswith("/settin…")
    monkeypatch.delenv("COLUMNS")
    print_table(*table)
    assert capsys.readouterr().err.splitlines()[1] == f"zed   {table[1][0][1]}"


def test_a_plan_is_shown_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "25")
    print_answer({"status": "ok", "plan": 'x = delete_all("every note")\n\nx'})
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()] == [
        "plan",
        '   1 x = delete_all("ever',
        '     y note")',
        "   2",
        "   3 x",
        "ok",
    ]


async def test_80_columns_say_which_models_are_non_commercial(home: Home) -> None:
    _, _, shown = await home.run("models", "list")
    row = next(line for line in shown.splitlines() if line.startswith("dria-agent-a-3b:Q4_K_M"))
    assert row.split()[3] == "non-commercial"
