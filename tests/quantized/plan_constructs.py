"""Plans for every construct that the contract promises inside of a plan, as models write them.

The functions that they call are those of `FUNCTIONS`; server and tool names are made up.
"""

from planact_quantized.grammar.plan_grammar import PlanFunction, PlanParameter
from quantized.python_constructs import PYTHON  # noqa: TID251 - a folder of tests

FUNCTIONS = (
    PlanFunction(
        name="get_weather",
        parameters=(
            PlanParameter(name="city"),
            PlanParameter(name="unit", required=False, choices=("celsius", "fahrenheit")),
            PlanParameter(name="days", required=False, takes_text=False),
        ),
    ),
    PlanFunction(name="list_cities", parameters=(PlanParameter(name="country", required=False),)),
    PlanFunction(name="send_message", parameters=(PlanParameter(name="to"), PlanParameter(name="text"))),
    PlanFunction(
        name="git.log",
        parameters=(PlanParameter(name="repo_path"), PlanParameter(name="max_count", required=False, takes_text=False)),
    ),
    PlanFunction(name="git.status", parameters=(PlanParameter(name="repo_path"),)),
)

CONSTRUCTS = {
    "arguments by keyword, in schema order, and mixed": """
a = get_weather(city="Rome", unit="celsius")
b = get_weather("Rome", "celsius", 3)
c = get_weather("Rome", days=3)
""",
    "keywords in another order": 'a = get_weather(unit="celsius", city="Rome")\n',
    "server namespaces": """
log = git.log(repo_path="/r", max_count=5)
state = git.status("/r")
""",
    "raw names of parameters": 'get_weather(**{"city": "Rome"})\nget_weather("Rome", **{"real-name": 1})\n',
    "unpacked arguments": """
where = ["Rome", "celsius"]
options = {"days": 3}
get_weather(*where)
get_weather("Rome", **options)
""",
    "call_tool": 'x = call_tool("raw-name", {"a": 1}, server="other")\n',
    "helpers": """
found = search_tools("weather forecast", limit=5)
print(describe("git.log"))
progress("half way", 0.5)
text = read_resource("file:///notes.txt")
label = ask_model("Which mood?", data={"text": text}, schema={"type": "string"})
both = parallel(lambda: get_weather("Rome"), lambda: get_weather("Oslo"))
""",
    "results are plain values": """
weather = get_weather("Rome")
temperature = weather["days"][0]["max"]
name = weather.get("station", {}).get("name", "unknown").strip().title()
first, *rest = weather["days"]
""",
    "catching a tool's error": """
try:
    weather = get_weather("Nowhere")
except ToolError as error:
    weather = None
    message = f"{error.tool} failed: {error.message}"
else:
    message = "ok"
finally:
    progress("done")
""",
    "several handlers": """
try:
    value = int("12")
except (ValueError, TypeError) as e:
    raise RuntimeError(f"bad: {e}") from e
except KeyError:
    value = 0
except:
    pass
""",
    "await": """
weather = await get_weather("Rome")
await get_weather(city="Oslo")
if await get_weather("Bern"):
    pass
""",
    "await inside of expressions": """
print(await get_weather("Rome"))
first = (await get_weather("Rome"))["days"][0]
both = await get_weather("Rome"), await get_weather("Oslo")
found = [await get_weather(city) for city in ["Rome", "Oslo"]]
if first and not await get_weather("Bern"):
    pass
send_message(to="me", text=await get_weather("Rome"))
top = max(await list_cities(), key=lambda city: city["size"])

async def hottest(city):
    days = (await get_weather(city))["days"]
    return [await get_weather(day) for day in days], -await get_weather(city)

print(await hottest("Rome"))
""",
    "asynchronous statements": """
class Room:
    async def __aenter__(self):
        return 1

    async def __aexit__(self, *error):
        return None

async def enter(rows):
    async with Room() as room:
        async for row in rows:
            print(room, row)

async with Room() as room:
    pass
""",
    "gather": """
import asyncio

a, b = await asyncio.gather(get_weather("Rome"), get_weather("Oslo"))
results = await asyncio.gather(*[get_weather(city) for city in ["Rome", "Oslo"]])
""",
    "coroutines of the plan": """
async def report(city: str) -> str:
    weather = await get_weather(city)
    return f"{city}: {weather}"

reports = await asyncio.gather(report("Rome"), report("Oslo"))
""",
    **PYTHON,
}
