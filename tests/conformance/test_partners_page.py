"""What docs/partners.md tells partners to copy works as it stands there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bad_receivers import SECRET
from reference_receivers import NO_NODE, find_node, reference

from schemas.payloads import AlertMessage

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "partners.md").read_text(encoding="utf-8")
KNOWN = dict(re.findall(r"^\| (?:`?)([a-z0-9 -]+?)(?:`?) \| `(.+)` \|$", PAGE, re.MULTILINE))


def _block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]


def _commands(containing: str) -> str:
    return next(b for b in re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if containing in b)


def test_python_snippet_gives_the_known_answer():
    """The HMAC of the page is the one in its table."""
    found: dict = {}
    exec(_block("python"), found)  # noqa: S102 - the page's own code
    assert (
        found["v1"](KNOWN["secret"], KNOWN["webhook-id"], KNOWN["webhook-timestamp"], KNOWN["body"].encode())
        == (KNOWN["v1"])
    )


def test_typescript_snippet_accepts_the_known_answer_and_nothing_else(tmp_path):
    """The ed25519 signature of the table holds for its body and for no other."""
    if (command := find_node()) is None:
        pytest.skip(NO_NODE)
    call = ", ".join(f"{KNOWN[name]!r}" for name in ("public key", "webhook-id", "webhook-timestamp"))
    file = tmp_path / "snippet.ts"
    file.write_text(
        _block("ts") + f"for (const body of [{KNOWN['body']!r}, '{{}}'])"
        f" console.log(v1a({call}, Buffer.from(body), {KNOWN['v1a']!r}));\n"
    )
    said = subprocess.run([command, str(file)], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["true", "false"]


def test_example_body_is_one_that_is_sent():
    """The example has the fields of the model, and no others."""
    body = AlertMessage.model_validate_json(_block("json"))
    assert body.type == "alert.issued"


async def test_shell_commands_sign_a_ping(tmp_path):
    """The commands of step 2 reach a reference receiver, which answers 200; with a changed body it is 401."""
    if not (shutil.which("openssl") and shutil.which("curl")):
        pytest.skip("skipped: install curl and openssl")
    commands = _commands("openssl")
    async with reference("python", tmp_path, {"ZOEKLICHT_SECRET": SECRET}) as receiver:
        commands = commands.replace("http://127.0.0.1:8080/", receiver.url)
        for script, status in ((commands, "200"), (commands.replace('-d "$BODY"', '-d "{}"'), "401")):
            said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
            assert said.stdout.split()[1] == status


def test_links_lead_somewhere():
    """Every file that the page and its summaries name is there."""
    pages = sorted(DOCS.glob("partners*.md"))
    assert len(pages) == 4
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", ["receiver.py", "receiver.ts"])
def test_reference_receivers_are_short(name):
    """A partner's developer reads them in one go: under 150 lines, nothing from outside the language."""
    from reference_receivers import FOLDER

    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    imported = [line for line in lines if re.match(r"(import|from) ", line)]
    assert not [line for line in imported if "services" in line or "schemas" in line]
    if name == "receiver.ts":
        assert all('from "node:' in line for line in imported)
