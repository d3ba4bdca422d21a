"""Asks the OSV database (osv.dev) whether an advisory concerns anything the software is made of: `make audit`.

It is told names and versions of the bill of materials, Python packages and jars, and nothing else. Beside the checks,
not among them: somebody else's advisory must not stop a rescue. Ends with 0: none known; 1: some, each with its address;
3: the database cannot be reached, so nobody knows.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Any

from sbom import document

SERVICE = "https://api.osv.dev"
AT_ONCE, WITHIN_S = 100, 30
NONE, SOME, UNKNOWN = 0, 1, 3


def advisories(purls: list[str], service: str) -> dict[str, list[str]]:
    """The ids of the advisories about each of these packages. Raises OSError, or ValueError for what is no answer."""
    found: dict[str, list[str]] = {}
    for start in range(0, len(purls), AT_ONCE):
        asked = purls[start : start + AT_ONCE]
        answers = _ask(service, {"queries": [{"package": {"purl": purl}} for purl in asked]})["results"]
        for purl, answer in zip(asked, answers, strict=True):
            if ids := [one["id"] for one in answer.get("vulns", ())]:
                found[purl] = ids
    return found


def _ask(service: str, question: dict[str, Any]) -> Any:
    request = urllib.request.Request(  # noqa: S310 - https, or a test's own server
        f"{service}/v1/querybatch", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
        return json.load(answer)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--service", default=SERVICE, help="another OSV service, for example a mirror")
    service = parser.parse_args().service
    purls = [one["purl"] for one in document()["components"]]
    try:
        found = advisories(purls, service)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(
            f"nobody knows: {service} gives no answer ({type(error).__name__}); try again where it can be reached,"
            " or give --service a mirror\n"
        )
        return UNKNOWN
    for purl, ids in sorted(found.items()):
        sys.stdout.write(f"{purl}\n" + "".join(f"  https://osv.dev/vulnerability/{one}\n" for one in ids))
    sys.stdout.write(f"{len(purls)} packages asked about, {len(found)} with advisories\n")
    return SOME if found else NONE


if __name__ == "__main__":
    raise SystemExit(main())
