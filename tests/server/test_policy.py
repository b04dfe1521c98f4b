"""Who may write: the rules, and what holds for every set of rules."""

import re
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_server.config import PolicySettings
from planact_server.policy import Decision, Policy, ToolFacts, UndecidedServer, matches

SEVERITY = {"allow": 0, "ask": 1, "deny": 2}

LOG = ToolFacts(server="git", server_name="git", tool="git_log", tool_name="git_log", read_only=True)
COMMIT = ToolFacts(server="git", server_name="git", tool="git_commit", tool_name="git_commit", read_only=False)
UNMARKED = ToolFacts(server="memory", server_name="memory", tool="open", tool_name="open_")


def decide(tool: ToolFacts, **policy: object) -> Decision:
    return Policy(PolicySettings.model_validate(policy)).decide(tool)


def test_a_read_on_a_trusted_server_is_allowed() -> None:
    assert decide(LOG, trust=["git"]) == Decision(verdict="allow", read_only=True, reason="it only reads")


def test_a_read_mark_of_an_undecided_server_is_asked_about_with_the_line_that_trusts_it() -> None:
    assert decide(LOG) == Decision(
        verdict="ask",
        read_only=False,
        reason="you have not decided whether to trust the read marks of server 'git'",
        toml='[policy]\ntrust = ["git"]',
    )


def test_a_write_on_a_trusted_server_is_asked_about_with_the_line_that_allows_it() -> None:
    assert decide(COMMIT, trust=["*"]) == Decision(
        verdict="ask",
        read_only=False,
        reason='it writes, and writes are default = "ask"',
        toml='[policy]\nallow = ["git.git_commit"]',
    )


def test_a_tool_without_marks_is_a_write() -> None:
    decision = decide(UNMARKED, trust=["*"])
    assert (decision.verdict, decision.read_only) == ("ask", False)
    assert decision.reason == "it is not marked as read-only, so it counts as a write"


def test_a_tool_marked_read_only_and_destructive_is_a_write() -> None:
    assert not decide(replace(LOG, destructive=True), trust=["git"]).read_only


def test_the_read_marks_of_shipped_packs_are_trusted_and_their_writes_are_not() -> None:
    assert decide(replace(LOG, shipped=True)).verdict == "allow"
    assert decide(replace(COMMIT, shipped=True)).verdict == "ask"


def test_an_allowed_write_is_still_no_read() -> None:
    decision = decide(COMMIT, allow=["git.git_commit"])
    assert decision == Decision(verdict="allow", read_only=False, reason='allow = ["git.git_commit"] in [policy]')


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ({"default": "deny"}, "deny"),
        ({"default": "allow"}, "allow"),
        ({"allow": ["git.*"], "deny": ["git.git_commit"]}, "deny"),
        ({"deny": ["git.*"], "allow": ["git.git_commit"]}, "allow"),
        ({"deny": ["git.git_c*"], "allow": ["git.git_*"]}, "deny"),
        ({"deny": ["git.git_*"], "allow": ["git.git_c*"]}, "allow"),
        ({"allow": ["git.git_commit"], "ask": ["git.git_commit"], "deny": ["git.git_commit"]}, "deny"),
        ({"allow": ["git.git_commit"], "ask": ["git.git_commit"]}, "ask"),
        ({"allow": ["git"]}, "allow"),
        ({"allow": ["git"], "deny": ["git.*"]}, "deny"),
        ({"allow": ["*"]}, "allow"),
        ({"allow": ["*.git_commit"]}, "allow"),
        ({"allow": ["Git.git_commit"]}, "ask"),
        ({"allow": ["git.git_commi"]}, "ask"),
        ({"allow": ["github.*"]}, "ask"),
        ({"allow": ["git.git_commit"], "also_ask": ["git.*"]}, "ask"),
        ({"deny": ["git.*"], "also_ask": ["git.git_commit"]}, "deny"),
        ({"allow": ["git.git_commit"], "also_deny": ["*"]}, "deny"),
    ],
)
def test_the_most_specific_pattern_decides_and_the_stricter_one_wins_ties(
    policy: dict[str, object], verdict: str
) -> None:
    assert decide(COMMIT, **policy).verdict == verdict


def test_ask_and_deny_hold_for_reads_too() -> None:
    assert decide(LOG, trust=["git"], ask=["git.git_log"]).verdict == "ask"
    assert decide(LOG, trust=["git"], deny=["git"]).verdict == "deny"


@pytest.mark.parametrize(("open_world", "verdict"), [(True, "ask"), (None, "ask"), (False, "allow")])
def test_open_world_reads_can_be_asked_about(open_world: bool | None, verdict: str) -> None:
    tool = replace(LOG, open_world=open_world)
    assert decide(tool, trust=["git"], open_world_reads="ask").verdict == verdict
    assert decide(tool, trust=["git"]).verdict == "allow"


def test_either_spelling_of_a_name_matches() -> None:
    tool = ToolFacts(server="my-server", server_name="my_server", tool="do.it", tool_name="do_it")
    spellings = ["my-server.do.it", "my_server.do_it", "my-server.do_it", "my_server.do.it", "my-server", "my_server"]
    assert [decide(tool, allow=[spelling]).verdict for spelling in spellings] == ["allow"] * 6


def test_a_denied_call_names_the_line_that_helps_only_where_one_more_line_does() -> None:
    assert decide(COMMIT, deny=["git.*"]).toml == '[policy]\nallow = ["git.git_commit"]'
    assert decide(COMMIT, deny=["git.git_commit"]).toml == ""
    assert decide(COMMIT, also_deny=["git.*"]).toml == ""
    assert decide(COMMIT, also_deny=["git.*"]).reason == 'deny = ["git.*"] in this folder\'s planact.toml'


def test_undecided_servers_are_listed_with_how_many_reads_they_mark() -> None:
    policy = Policy(PolicySettings(trust=("time",), ask=("mail.*",), allow=("git.git_commit",)))
    mail = ToolFacts(server="mail", server_name="mail", tool="send", tool_name="send")
    time = replace(LOG, server="time", server_name="time")
    shipped = replace(COMMIT, server="calendar", server_name="calendar", shipped=True)
    assert policy.undecided([LOG, mail, COMMIT, time, UNMARKED, shipped]) == (
        UndecidedServer(server="git", tools=2, reads=1, pattern="git"),
        UndecidedServer(server="memory", tools=1, reads=0, pattern=""),
    )
    assert [str(server) for server in policy.undecided([LOG, COMMIT, UNMARKED])] == [
        "git: marks 1 of its 2 tools as read-only; trust that?",
        "memory: marks none of its 1 tools as read-only, so every call needs approval",
    ]


def test_patterns_that_cover_nothing_are_found() -> None:
    policy = Policy(PolicySettings(trust=("git", "gti"), allow=("git.git_comit",), deny=("memory", "git.*")))
    assert policy.unmatched([LOG, COMMIT, UNMARKED]) == ("gti", "git.git_comit")


def test_matching_takes_no_longer_for_a_pattern_made_to_be_slow() -> None:
    assert not matches("*a" * 40 + "b", "a" * 5_000)


# Small alphabets, so that patterns and names meet often.
names = st.text("ab_", min_size=1, max_size=4)
patterns = st.text("ab_*.", min_size=1, max_size=6)
pattern_lists = st.lists(patterns, max_size=4).map(tuple)
marks = st.sampled_from([True, False, None])
policies = st.builds(
    PolicySettings,
    trust=pattern_lists,
    allow=pattern_lists,
    ask=pattern_lists,
    deny=pattern_lists,
    default=st.sampled_from(["allow", "ask", "deny"]),
    open_world_reads=st.sampled_from(["allow", "ask"]),
    also_ask=pattern_lists,
    also_deny=pattern_lists,
)
tools = st.builds(
    ToolFacts,
    server=names,
    server_name=names,
    tool=names,
    tool_name=names,
    read_only=marks,
    destructive=marks,
    open_world=marks,
    shipped=st.booleans(),
)


def severity(policy: PolicySettings, tool: ToolFacts) -> int:
    return SEVERITY[Policy(policy).decide(tool).verdict]


@given(policies, tools, patterns)
def test_one_more_deny_never_loosens(policy: PolicySettings, tool: ToolFacts, pattern: str) -> None:
    more = policy.model_copy(update={"deny": (*policy.deny, pattern)})
    assert severity(more, tool) >= severity(policy, tool)


@given(policies, tools, pattern_lists, pattern_lists)
def test_an_untrusted_folder_never_loosens(
    policy: PolicySettings, tool: ToolFacts, ask: tuple[str, ...], deny: tuple[str, ...]
) -> None:
    alone = policy.model_copy(update={"also_ask": (), "also_deny": ()})
    more = policy.model_copy(update={"also_ask": ask, "also_deny": deny})
    assert severity(more, tool) >= severity(alone, tool)


@given(policies, tools, patterns)
def test_one_more_allow_never_tightens(policy: PolicySettings, tool: ToolFacts, pattern: str) -> None:
    allowing = policy.model_copy(update={"allow": (*policy.allow, pattern)})
    assert severity(allowing, tool) <= severity(policy, tool)


@given(policies, tools, patterns)
def test_trusting_a_server_never_makes_a_write_a_read(policy: PolicySettings, tool: ToolFacts, pattern: str) -> None:
    decision = Policy(policy.model_copy(update={"trust": (*policy.trust, pattern)})).decide(tool)
    assert not decision.read_only or (tool.read_only is True and tool.destructive is not True)


@given(policies, tools)
def test_the_order_of_patterns_does_not_matter(policy: PolicySettings, tool: ToolFacts) -> None:
    lists = ("trust", "allow", "ask", "deny", "also_ask", "also_deny")
    turned = policy.model_copy(update={name: getattr(policy, name)[::-1] for name in lists})
    assert severity(turned, tool) == severity(policy, tool)


@given(policies, tools)
def test_the_suggested_line_allows_the_call(policy: PolicySettings, tool: ToolFacts) -> None:
    decision = Policy(policy).decide(tool)
    if not decision.toml:
        return
    pasted = tomllib.loads(decision.toml)["policy"]
    merged = policy.model_copy(update={key: (*getattr(policy, key), *value) for key, value in pasted.items()})
    assert Policy(merged).decide(tool).verdict == "allow"


@given(patterns, st.text("ab_.", max_size=8))
def test_matching_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None
    assert matches(pattern, name) == expected


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_the_suggested_line_is_toml_whatever_the_tool_is_called(server: str, tool: str) -> None:
    facts = ToolFacts(server=server, server_name="py_server", tool=tool, tool_name="py_tool")
    decision = Policy(PolicySettings()).decide(facts)
    pasted = tomllib.loads(decision.toml)["policy"]
    assert decide(facts, **pasted).verdict == "allow"
