"""Content that is no JSON as the protocol's native blocks."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import mcp.types as types

if TYPE_CHECKING:
    from planact_tools import Attachment


def content_block(attachment: Attachment, *, uri: str) -> types.ContentBlock:
    """Return an image or a sound as such, anything else as an embedded resource at `uri`."""
    data = base64.b64encode(attachment.data).decode("ascii")
    match attachment.kind:
        case "image":
            return types.ImageContent(type="image", data=data, mime_type=attachment.mime)
        case "audio":
            return types.AudioContent(type="audio", data=data, mime_type=attachment.mime)
        case "blob":
            resource = types.BlobResourceContents(uri=uri, mime_type=attachment.mime, blob=data)
            return types.EmbeddedResource(type="resource", resource=resource)
