"""The mistakes that models make with the calendar, how they are repaired, and what one has to be told for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake."""

    name: str
    text: str
    """What the model says."""

    repaired: str
    needs: tuple[str, ...]
    """What the complaint has to hold for anybody to repair it."""


def _plan(code: str) -> str:
    return f"```python\n{code}\n```"


def _mistake(name: str, code: str, repaired: str, *needs: str) -> Mistake:
    return Mistake(name=name, text=_plan(code), repaired=_plan(repaired), needs=needs)


_SLOT = 'day="2026-12-01", start_time="10:00", end_time="12:00"'
_BOOK = f'x = make_appointment({_SLOT}, title="Review")'

MISTAKES = (
    _mistake("a function misspelt", "make_apointment()", _BOOK, "make_appointment", "line 1"),
    _mistake("a function of another program", "calendar.create_event()", _BOOK, "create_event"),
    _mistake("a keyword misspelt", f'make_appointment({_SLOT}, name="Review")', _BOOK, "title", "line 1"),
    _mistake("an argument missing", f"make_appointment({_SLOT})", _BOOK, "title"),
    _mistake("an argument of another type", f"make_appointment({_SLOT}, title=5)", _BOOK, "title", "str"),
    _mistake("a value of another form", _BOOK.replace("10:00", "10 am"), _BOOK, "HH:MM", "10 am"),
    _mistake("an index too far", f"{_BOOK}\nlist_appointments()[3]", f"{_BOOK}\nx", "line 2", "out of range"),
    _mistake("a key that is not there", f'{_BOOK}\nx["number"]', f'{_BOOK}\nx["id"]', "'number'", "id", "line 2"),
    _mistake("an attribute of a dict", f"{_BOOK}\nx.id", f'{_BOOK}\nx["id"]', "line 2", "id"),
    _mistake("a name never bound", f"{_BOOK}\nprint(booking)", f"{_BOOK}\nprint(x)", "booking", "line 2"),
    _mistake("a tool that says no", f"{_BOOK}\n{_BOOK}", _BOOK.replace("12-01", "12-02"), "is not free", "line 2"),
    _mistake("text and number added", f'{_BOOK}\n"No. " + x["id"]', f"{_BOOK}\nx", "line 2", "str"),
    _mistake("Python that is none", "x = make_appointment(", _BOOK, "line 1"),
    _mistake("a module that is not there", f"import requests\n{_BOOK}", _BOOK, "requests"),
    _mistake("a file opened", f'open("a.txt")\n{_BOOK}', _BOOK, "open"),
    Mistake(name="a block not closed", text="```python\nx = 1", repaired=_plan(_BOOK), needs=("not closed",)),
    Mistake(name="an empty block", text="```python\n```", repaired=_plan(_BOOK), needs=("empty",)),
    Mistake(name="a circle", text=_plan("f()\n" * 40), repaired=_plan(_BOOK), needs=("in circles",)),
)
