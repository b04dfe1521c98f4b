"""The codec alone: what a frame may be, and what it costs to refuse one."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from planact_server.sandbox import PlanError
from planact_server.sandbox.frame_json import MAX_DEPTH, MAX_NODES, FrameError
from planact_server.sandbox.frames import Call, Done, decode

CALL = {
    "type": "call",
    "id": 1,
    "call": 1,
    "server": None,
    "tool": "t",
    "raw": True,
    "positional": [],
    "keywords": {},
    "line": None,
}


def frame(**facts: object) -> bytes:
    return json.dumps(CALL | facts, ensure_ascii=False).encode()


def test_a_call_becomes_what_it_says() -> None:
    value = {"a": [1, 2.5, None, True, "é😀", '\\ud800 is six characters, "quoted"']}
    assert decode(frame(keywords=value, server="s", line=3)) == Call(
        type="call", id=1, call=1, server="s", tool="t", raw=True, positional=[], keywords=value, line=3
    )


def test_a_call_carries_what_earlier_ones_were_bound_to() -> None:
    decoded = decode(frame(bound=[[1, ["x", "é"]], [2, ["y"]]]))
    assert isinstance(decoded, Call)
    assert decoded.bound == ((1, ["x", "é"]), (2, ["y"]))


def test_a_result_of_none_is_a_result_and_no_result_is_none() -> None:
    done = {"type": "done", "status": "error", "variables": {}, "deleted": [], "functions": [], "truncated": {}}
    done |= {"errors": [{"type": "IndexError", "message": "m", "line": 4}]}
    decoded = [decode(json.dumps(done | extra).encode()) for extra in ({}, {"result": None})]

    assert [item.has_result for item in decoded if isinstance(item, Done)] == [False, True]
    assert isinstance(decoded[0], Done)
    assert decoded[0].errors == [PlanError(type="IndexError", message="m", line=4)]


def test_nesting_is_allowed_up_to_its_depth_and_not_beyond() -> None:
    def nested(depth: int) -> bytes:
        return frame(positional=["HERE"]).replace(b'"HERE"', b"[" * depth + b"]" * depth)

    assert isinstance(decode(nested(MAX_DEPTH - 2)), Call)
    with pytest.raises(FrameError, match=f"nested deeper than {MAX_DEPTH} levels"):
        decode(nested(MAX_DEPTH - 1))


def test_long_text_full_of_commas_is_one_value() -> None:
    text = "[{,\\" * (MAX_NODES // 2)
    decoded = decode(frame(positional=[text]))
    assert isinstance(decoded, Call)
    assert decoded.positional == [text]


@pytest.mark.parametrize(
    "surrogate",
    ['"\\ud83d\\ude00"', '"\\ud800"', '"\\ude00\\ud83d"', '{"\\udfff": 1}'],
    ids=["pair", "high", "swapped", "key"],
)
def test_half_a_character_is_refused_and_a_whole_one_is_not(surrogate: str) -> None:
    body = frame(positional=["HERE"]).replace(b'"HERE"', surrogate.encode())
    if surrogate == '"\\ud83d\\ude00"':
        assert isinstance(decode(body), Call)
    else:
        with pytest.raises(FrameError, match="no UTF-8"):
            decode(body)


@pytest.mark.parametrize(
    "facts",
    [
        {"id": 0},
        {"id": -1},
        {"id": 1.0},
        {"id": True},
        {"id": "1"},
        {"id": 2**53},
        {"id": None},
        {"call": 0},
        {"line": 0},
        {"server": 1},
        {"tool": None},
        {"tool": "t" * 1_001},
        {"raw": 1},
        {"raw": None},
        {"positional": {}},
        {"positional": None},
        {"keywords": []},
        {"bound": None},
        {"bound": {}},
        {"bound": [1]},
        {"bound": [[1]]},
        {"bound": [[0, ["x"]]]},
        {"bound": [[True, ["x"]]]},
        {"bound": [[1, []]]},
        {"bound": [[1, "x"]]},
        {"bound": [[1, ["a b"]]]},
        {"bound": [[1, ["x"], 2]]},
        {"more": 1},
        {"type": "resolve"},
        {"type": "ready"},
        {"type": "answer"},
        {"type": None},
    ],
    ids=str,
)
def test_a_call_with_one_wrong_fact_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(FrameError, match="malformed frame"):
        decode(frame(**facts))


@pytest.mark.parametrize("key", CALL)
def test_a_call_without_one_of_its_facts_is_refused(key: str) -> None:
    with pytest.raises(FrameError, match="malformed frame"):
        decode(json.dumps({name: fact for name, fact in CALL.items() if name != key}).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"null", b"1", b'"x"', b"[]", b"{", b"{}x", b"\xff", b"\xef\xbb\xbf{}", b"{'a': 1}", b"\x00" * 8]
    + ['{"type": "restored"}'.encode(encoding) for encoding in ("utf-16", "utf-32")]
    + [b'{"type": "output", "text": ' + number + b"}" for number in (b"NaN", b"-Infinity", b"1e400", b"9" * 5_000)],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_json_object_in_utf8_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode(body)


MANY = 90_000

COSTLY = {
    "names that are none": {"deleted": [" "] * MANY},
    "variables with such names": {"variables": {f"a {number}": 1 for number in range(MANY)}},
    "sizes that are none": {"truncated": {f"a{number}": "x" for number in range(MANY)}},
    "errors that are none": {"errors": [{}] * MANY},
    "too many errors": {"errors": [{"type": "E", "message": "m"}] * MANY},
    "definitions of nothing": {"definitions": {f"a{number}": 1 for number in range(MANY)}},
    "unknown keys": {f"key{number}": 1 for number in range(MANY)},
}


@pytest.mark.parametrize("facts", COSTLY.values(), ids=COSTLY)
def test_a_frame_that_is_wrong_in_many_places_is_refused_for_the_first(facts: dict[str, object]) -> None:
    """Complaining about each takes gigabytes: what one refusal allocates is bounded."""
    empty = {"status": "ok", "errors": [], "variables": {}, "deleted": [], "functions": [], "truncated": {}}
    body = json.dumps({"type": "done", **empty, **facts}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="malformed frame"):
            decode(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * 2**20
