"""Plans for the Python that is promised inside of a plan, as models write them; their tools are `plan_constructs`'."""

PYTHON = {
    "functions": """
def warmest(rows, *, key="max", **others):
    \"\"\"Return the warmest row.\"\"\"
    if not rows:
        return None
    return max(rows, key=lambda row: row[key])

def total(*values: float) -> float:
    return sum(values)

best = warmest(get_weather("Rome")["days"], key="max")
print(total(1, 2.5), best)
""",
    "functions in functions": """
def counter(start: int = 0):
    count = [start]
    def step(by=1):
        count[0] += by
        return count[0]
    return step

step = counter(10)
value = step()
""",
    "global": """
calls = 0

def note():
    global calls
    calls += 1

note()
""",
    "nonlocal": """
def counter(start=0):
    \"\"\"Return a function that counts.\"\"\"
    count, calls = start, 0

    def step(by=1):
        \"\"\"Count on.\"\"\"
        nonlocal count, calls
        count += by
        calls += 1
        return count

    async def reset():
        global last
        nonlocal count
        last, count = count, 0

    return step

last = 0
step = counter(10)
value = step()
""",
    "classes": """
from dataclasses import dataclass, field
from enum import Enum

class Mood(Enum):
    GOOD = "good"
    BAD = "bad"

@dataclass
class Stop:
    city: str
    days: int = 1
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.city} ({self.days})"

    @property
    def long(self):
        return self.days > 3

class Trip(Stop):
    def __init__(self, city):
        super().__init__(city)
        self.legs = []

stop = Stop("Rome", days=2)
label = str(stop)
""",
    "comprehensions": """
rows = [{"n": i, "even": i % 2 == 0} for i in range(10) if i not in (3, 4)]
pairs = [(a, b) for a in "xy" for b in range(2) if a != b]
by_name = {row["n"]: row for row in rows}
unique = {row["even"] for row in rows}
total = sum(row["n"] for row in rows if row["even"])
nested = [[cell * 2 for cell in line] for line in [[1, 2], [3]]]
""",
    "generators": """
def evens(limit):
    for number in range(limit):
        if number % 2:
            continue
        yield number
    yield from [100, 102]

found = list(evens(10))
""",
    "match": """
weather = get_weather("Rome")
match weather:
    case {"status": "error", "message": message}:
        print(message)
    case {"days": [first, *rest]} if rest:
        print(first)
    case [] | None:
        print("nothing")
    case str() as text:
        print(text)
    case (a, b):
        print(a, b)
    case _:
        print("other")
""",
    "patterns with a star": """
match list_cities():
    case [first, *_, last]:
        print(first, last)
    case [*_, {"name": "Rome"}]:
        print("Rome")
    case (only, *others):
        print(only, others)
    case (*others,):
        print(others)
""",
    "spelled names": 'send_message(to="a", text="b")\ndict(class_=1, from_="Rome")\n',
    "long texts and images": """
text = read_resource("file:///log.txt")
start = text[:100] if text.size > 8_000_000 else text.text()
errors = [line for line in text if "error" in line]
image = call_tool("draw", {})
kind, size = image.mime, image.size
call_tool("publish", {"image": image})
""",
    "f-strings": """
name, price = "tea", 3.14159
a = f"{name}: {price:.2f} {name!r:>10} {{literal}} {price * 2:,.1f}%"
b = f'{name.upper()} has {len(name)} letters'
c = f"Items: {', '.join(str(x) for x in range(3))}"
d = f"{name[0] if name else 'n/a'} {[p['max'] for p in []]}"
e = f\"\"\"Dear {name},
it costs {price}.\"\"\"
width = 8
f = f"{name:<{width}}|{price=}"
""",
    "text literals": r"""
a = "double \"quoted\" \n\t\\ \u00e9 \x41"
b = 'single \'quoted\''
c = '''several
lines with "quotes" and 'quotes' inside'''
e = r"\d+\s"
f = b"bytes"
g = "a `word` in ticks, ä ö 你好 🙂"
h = (
    "over several "
    "lines"
)
i = "one" "two"
""",
    "docstrings": '''
text = """Several lines
with "quotes" inside."""
''',
    "numbers": "a = 1_000\nb = -2.5e-3\nc = 0xFF + 0b101 + 0o17\nd = .5 + 1j\n",
    "operators": """
a = 2 ** 10 // 3 % 7 + (4 - 1) * -2 / ~1
b = 1 < a <= 10 and not a == 5 or a is not None
c = a if b else -a
d = 5 & 3 | 4 ^ 1 << 2 >> 1
e = "x" in "xyz" and 3 not in [1, 2]
f = a and (b or not c)
""",
    "slices": """
rows = list(range(20))
a, b, c, d = rows[1:5], rows[::-1], rows[-3:], rows[:2]
rows[0:2] = [9]
e = rows[len(rows) // 2:]
""",
    "assignments": """
x = y = 0
a, b = 1, 2
(c, d), e = (3, 4), 5
first, *rest = [1, 2, 3]
total: float = 0.0
names: list[str] = []
x += 1
x **= 2
data = {}
data["k"] = [1]
data["k"][0] += 5
a, b = b, a
del data["k"]
""",
    "walrus": """
if (n := len([1, 2, 3])) > 2:
    print(n)
while (row := next(iter([]), None)) is not None:
    print(row)
""",
    "loops": """
for index, (name, score) in enumerate([("a", 1), ("b", 2)], start=1):
    if score > 5:
        break
    elif score < 0:
        continue
    print(index, name)
else:
    print("no break")
count = 0
while count < 3:
    count += 1
""",
    "deep nesting": """
for city in list_cities():
    weather = get_weather(city)
    for day in weather["days"]:
        if day["max"] > 30:
            for hour in day["hours"]:
                if hour["rain"]:
                    send_message("me", f"{city} {hour}")
""",
    "lambda and sorting": """
rows = sorted(list_cities(), key=lambda row: (-row["size"], row["name"]), reverse=True)
first = min(rows, key=len, default=None)
mapped = list(map(get_weather, ["Rome", "Oslo"]))
longest = max((len(r) for r in rows), default=0)
""",
    "lambda without arguments": "get = lambda: 5\nadd = lambda a, b=2, *c: a + b\n",
    "dictionaries": """
config = {
    "cities": ["Rome", "Oslo"],  # where to look
    "units": {"t": "celsius", **{}},
    1: None,
}
merged = {**config, "x": 1} | {"y": 2}
for key, value in config.items():
    print(key, value)
""",
    "calls over several lines": """
weather = get_weather(
    city="Rome",
    unit="celsius",
)
send_message(
    to="me@example.com",
    text=(
        f"It is {weather['max']} degrees. "
        "Take care."
    ),
)
""",
    "imports": """
import math, json
import collections.abc
import statistics as st
from datetime import datetime, timedelta, timezone
from collections import Counter, defaultdict
from urllib.parse import quote
from typing import Any, Optional
tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
counts = Counter(["a", "b", "a"]).most_common(1)
groups = defaultdict(list)
groups["x"].append(math.sqrt(16) + st.mean([1, 2]))
text = json.dumps({"when": tomorrow.isoformat()[:10]}, indent=2, default=str)
""",
    "modules of the standard library": r"""
import re, random, itertools, functools, decimal, uuid, hashlib, base64, html, csv, io, textwrap, string, zoneinfo
found = re.findall(r"\d+", "a1b22")
pairs = list(itertools.combinations([1, 2, 3], 2))
product = functools.reduce(lambda a, b: a * b, [1, 2, 3])
price = decimal.Decimal("1.10").quantize(decimal.Decimal("0.01"))
rows = list(csv.DictReader(io.StringIO("a,b\n1,2")))
""",
    "with": """
import decimal

with decimal.localcontext() as context:
    context.prec = 5
    third = decimal.Decimal(1) / 3
""",
    "assert, raise, pass": """
assert 1 < 2, "numbers are broken"
if False:
    raise ValueError("never")
if True: pass
""",
    "comments and blank lines": """
# First the cities.
cities = list_cities()  # all of them


# Then the weather.
for city in cities:
    # one at a time

    weather = get_weather(city)
    # done
""",
    "expression at the end": 'x = {"a": [1, 2]}\nx["a"][0], len(x)\n',
    "starred lists": 'a = [1, 2]\nb = [*a, 3]\nc = (*a, 4)\nprint(*a, sep=", ")\n',
    "long conditions": """
ok = (
    len("abc") == 3
    and not False
    or (1, 2) == (1, 2)
)
total = (1 +
         2)
""",
    "strings with methods": """
a = "a,b".split(",")[0].strip().upper().replace("A", "b")
b = "{} and {x}".format(1, x=2)
c = ", ".join([str(n) for n in range(3)])
d = "%s has %d" % ("x", 2)
""",
    "ellipsis and conversion": 'x = ...\ny = str(int(float("1.5")))\nz = bool([])\n',
    "private names": "_hidden = 1\n_ = _hidden\nfor _ in range(2):\n    pass\n",
    "while true": """
page = 1
while True:
    rows = list_cities(country="IT")
    if not rows or page >= 3:
        break
    page += 1
""",
    "functions as values": """
handlers = {"w": get_weather, "c": list_cities}
tool = handlers["w"]
""",
    "parallel": 'results = parallel([lambda c=c: get_weather(c) for c in ("Rome", "Oslo")])\n',
    "main guard": """
def main():
    return list_cities()

if __name__ == "__main__":
    result = main()
""",
}
