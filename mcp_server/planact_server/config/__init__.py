"""planact.toml, the environment and the command line, read into one frozen Config."""

from planact_server.config.loading import load_config, user_folder
from planact_server.config.reading import ConfigError
from planact_server.config.schema import (
    Config,
    ModelSettings,
    PackSpec,
    ParallelSettings,
    PlannerSettings,
    PolicySettings,
    PrivacySettings,
    ResultSettings,
    SandboxSettings,
    SearchSettings,
    ServerSettings,
)

__all__ = [
    "Config",
    "ConfigError",
    "ModelSettings",
    "PackSpec",
    "ParallelSettings",
    "PlannerSettings",
    "PolicySettings",
    "PrivacySettings",
    "ResultSettings",
    "SandboxSettings",
    "SearchSettings",
    "ServerSettings",
    "load_config",
    "user_folder",
]
