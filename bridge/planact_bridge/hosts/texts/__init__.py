"""Editing one entry of a configuration file's text, and nothing else of it.

Libraries that keep comments still rewrite: ruamel.yaml changes indentation and the columns of comments, tomlkit puts a
new table between a comment and the table that it is about, and there is none for JSON with comments that keeps all
of it. So a parser says what is in the text and where, the edit is made in the text itself, and `editing` has the
result parsed again: it has to be the value from before with that one entry different.
"""

from __future__ import annotations

from planact_bridge.hosts.texts import json_text, toml_text, yaml_text
from planact_bridge.hosts.texts.syntax import Syntax

JSON = Syntax(name="json", parse=json_text.parse, put=json_text.put, drop=json_text.drop, show=json_text.show)
TOML = Syntax(name="toml", parse=toml_text.parse, put=toml_text.put, drop=toml_text.drop, show=toml_text.show)
YAML = Syntax(name="yaml", parse=yaml_text.parse, put=yaml_text.put, drop=yaml_text.drop, show=yaml_text.show)

__all__ = ["JSON", "TOML", "YAML", "Syntax"]
