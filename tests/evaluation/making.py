"""A small benchmark of the tests' own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from planact_server.evaluation.dpab import Item, read_items
from planact_server.sandbox import Limits
from planact_server.sandbox.host import PooledEngine, open_engine

LIMITS = Limits(seconds=5)

MOCKS = '''
def price(item: str, currency: str = "EUR") -> float:
    """Looks a price up."""
    if not item:
        raise ValueError("An item must be given.")
    return 0.1 + 0.2 if item == "tea" else 12.0
def order(items: List[str], total: float) -> Dict[str, Any]:
    print("ordering")
    return {"items": items, "total": total, "ok": True}
def pair(a: int) -> Tuple[int, int]:
    return (a, a + 1)
def forever() -> bool:
    while True:
        pass
'''
STUBS = '''
def price(item: str, currency: str) -> float:
    """Looks a price up.

    :param item: What is bought.
    :return: The price.
    :raises ValueError: If nothing is given."""
    pass
def order(items: list, total: float) -> dict:
    """Orders."""
    pass
'''


def row(*, functions: list[str], values: list[Any], query: str = "Buy tea.", mocks: str = MOCKS) -> dict[str, Any]:
    def declared(name: str, **properties: str) -> dict[str, Any]:
        schemas = {key: {"type": kind, "description": f"The {key}."} for key, kind in properties.items()}
        parameters: dict[str, Any] = {"type": "object", "properties": schemas, "required": list(properties)}
        return {
            "name": name,
            "description": f"About {name}.",
            "parameters": {**parameters, "additionalProperties": False},
        }

    return {
        "difficulty": "hard",
        "function_schema_python": STUBS,
        "function_schema_json": [
            declared("price", item="string", currency="string"),
            declared("order", items="array", total="number"),
            declared("pair", a="integer"),
            declared("forever"),
        ],
        "mock_functions": mocks,
        "user_query": query,
        "checklist": {"functions": functions, "values": values},
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n\n".join(json.dumps(each) for each in rows))
    return path


def item(folder: Path, **options: Any) -> Item:
    return read_items(write(folder / "one.jsonl", row(**options)))[0]


@asynccontextmanager
async def engine(limits: Limits = LIMITS) -> AsyncIterator[PooledEngine]:
    opened = open_engine(limits=limits, warm_workers=1)
    try:
        with anyio.fail_after(60):
            yield opened
    finally:
        await opened.aclose()
