"""Logging in to servers behind a URL: once by a person in a browser, from then on by what is kept of that.

`login` loads the SDK's OAuth client; it is imported by the one command that uses it.
"""

from planact_bridge.oauth.bearer import Bearer
from planact_bridge.oauth.credentials import Credentials
from planact_bridge.oauth.kept import KeptLogin

__all__ = ["Bearer", "Credentials", "KeptLogin"]
