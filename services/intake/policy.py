"""The campaign policy of an installation, from its file."""

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from services.intake.domain.policy import Policy
from services.kernel.settings import SettingsError


def load_policy(file: Path | None = None) -> Policy:
    """The policy in a TOML file, by default the one that ships with intake.

    Raises SettingsError with the place of what is wrong.
    """
    if file is None:
        text = resources.files("services.intake").joinpath("policy.toml").read_text(encoding="utf-8")
        return Policy.model_validate(tomllib.loads(text))
    try:
        return Policy.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("ZOEKLICHT_POLICY cannot be read: name a readable TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"ZOEKLICHT_POLICY is not valid TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or 'policy'}: {item['msg']}" for item in error.errors()]
        raise SettingsError("ZOEKLICHT_POLICY is wrong:\n" + "\n".join(lines)) from None
