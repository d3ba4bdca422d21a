"""What the software is made of, as a CycloneDX 1.6 document: `make sbom` writes `build/sbom.cdx.json`.

Read from the locks alone, so that the same commit gives the same bytes: the Python packages that run, with what needs
what, and the jars of the embedded Kafka with their hashes. What only tests and tools use is left out.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).parents[1]
PYTHON_LOCK, JARS_LOCK = ROOT / "requirements.lock", ROOT / "services" / "kernel" / "embedded" / "kafka.lock"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
_NEEDED_BY = re.compile(r"^\s+#\s+(?:via\s+)?([A-Za-z0-9._-]+)")
Document = dict[str, Any]


def document() -> Document:
    """The bill of materials of this commit."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    lock = PYTHON_LOCK.read_text()
    packages: dict[str, list[str]] = {}
    for package, purl in _packages(lock):  # one that depends on the Python or the system has several versions
        packages.setdefault(package, []).append(purl)
    every = [purl for purls in packages.values() for purl in purls]
    jars = list(_jars(JARS_LOCK.read_text()))
    needs: dict[str, set[str]] = {ref: set() for ref in (name, *every, *(jar["bom-ref"] for jar in jars))}
    for needed, by in _needs(lock):
        for ref in [name] if by == name else packages[by]:
            needs[ref] |= set(packages[needed])
    needs[name] |= {jar["bom-ref"] for jar in jars}
    components = [*map(_python, every), *jars]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": name, "name": name, "version": version},
        },
        "components": sorted(components, key=lambda one: str(one["bom-ref"])),
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(needs.items())],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "serialNumber": f"urn:uuid:{serial}",
        **content,
    }


def _packages(lock: str) -> Iterator[tuple[str, str]]:
    """Each pinned package with its purl."""
    for line in lock.splitlines():
        if found := _PINNED.match(line):
            yield found[1].lower(), f"pkg:pypi/{found[1].lower()}@{found[2]}"


def _needs(lock: str) -> Iterator[tuple[str, str]]:
    """Package and who needs it, from the comments that the lock carries."""
    package = None
    for line in lock.splitlines():
        if found := _PINNED.match(line):
            package = found[1].lower()
        elif package and (found := _NEEDED_BY.match(line)) and found[1] != "via":
            yield package, found[1].lower()


def _python(purl: str) -> Document:
    name, _, version = purl.removeprefix("pkg:pypi/").partition("@")
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _jars(lock: str) -> Iterator[Document]:
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            coordinate, _size, digest = line.split()
            group, artifact, version = coordinate.split(":")
            purl = f"pkg:maven/{group}/{artifact}@{version}"
            yield {
                "type": "library", "bom-ref": purl, "group": group, "name": artifact, "version": version,
                "purl": purl, "hashes": [{"alg": "SHA-256", "content": digest}],
            }  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom.cdx.json")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document(), indent=2) + "\n")
    print(f"{len(document()['components'])} components: {out}")


if __name__ == "__main__":
    main()
