"""What a tool might have answered, made from its output schema. Pure."""

from planact_server.standins.making import stand_in

__all__ = ["stand_in"]
