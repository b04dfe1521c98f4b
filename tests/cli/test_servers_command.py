"""`planact servers`: health, logs, restart."""

import json

from planact_testing import Home, workshop


async def test_the_health_of_a_connection_is_part_of_its_report(home: Home) -> None:
    home.configure("", workshop=workshop())
    _, out, _ = await home.run("servers", "--json", cold=True)
    health = json.loads(out)[0]["health"]
    assert {key: health[key] for key in ("state", "starts", "losses", "failures", "last_error")} == {
        "state": "ready",
        "starts": 1,
        "losses": 0,
        "failures": 0,
        "last_error": None,
    }
    assert health["era"] in ("handshake", "stateless")
    assert health["pid"] > 0


async def test_what_a_server_that_does_not_start_said_is_shown_afterwards(home: Home) -> None:
    home.configure("", lathe=workshop("--broken"))
    await home.run("servers", "--json")
    code, out, _ = await home.run("servers", "logs", "lathe")
    assert code == 0
    assert "the lathe is missing" in out
    assert "--- it exited with code 1" in out.splitlines()[-1] or "code 1" in out


async def test_a_server_without_a_log_is_said_to_have_none(home: Home) -> None:
    code, _, said = await home.run("servers", "logs", "nothing")
    assert code == 2
    assert "Server 'nothing' has written nothing yet" in said


async def test_a_restart_says_whether_the_server_starts(home: Home) -> None:
    home.configure("", workshop=workshop(), lathe=workshop("--broken"))
    code, _, said = await home.run("servers", "restart", "workshop")
    assert (code, "workshop starts here" in said) == (0, True)
    code, out, _ = await home.run("servers", "restart", "lathe", "--json")
    assert code == 1
    assert "the lathe is missing" in json.loads(out)["last_error"]
    code, _, said = await home.run("servers", "restart", "lath")
    assert (code, "There are: lathe, workshop." in said) == (2, True)
