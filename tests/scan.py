"""A black-box scanner over the front end: `make scan`. Exits with 1 when it finds something.

wapiti asks a production server in front of the sandbox, as a stranger would. Its dependencies are its own
(`.venv-scan`), so nothing of it can change what runs. What is allowed to be found stands in EXPECTED with its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from onboarding.sandbox.server import Sandbox
from tests.support import ROOT, Customer, running

WAPITI = ROOT / ".venv-scan" / "bin" / "wapiti"
MODULES = (
    "backup,brute_login_form,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,information_disclosure,"
    "inconsistent_redirection,methods,permanentxss,redirect,shellshock,spring4shell,sql,ssrf,timesql,upload,xss,xxe"
)
SECONDS = 300  # for all of it; each kind of attack at most a tenth
# Kind of finding → why it is none.
EXPECTED = {
    "Cross Site Request Forgery": "the origin of the request is checked, not a token: docs/architecture.md",
    "Clickjacking Protection": "frame-ancestors says it, by partner; X-Frame-Options can name nobody",
    "Secure Flag cookie": "the scan goes over plain http; over https the flag is there: tests/web/headers.txt",
}


def main() -> int:
    if not WAPITI.is_file():
        return _said("no scanner here: make scan installs it")
    with tempfile.TemporaryDirectory() as folder, Sandbox(port=0) as sandbox:
        database = f"sqlite:///{folder}/onboarding.sqlite3"
        with running(sandbox, database, TRUSTED_PROXY_COUNT="0") as server:
            begun, level = Customer(server, sandbox), Customer(server, sandbox)
            begun.identify()
            level.register()
            starts = [
                server.url + path for path in ("/", "/p/default/check/", "/admin/login/", "/embed.js", "/version")
            ]
            report = Path(folder) / "report.json"
            command = [
                str(WAPITI), "--url", server.url + "/", "--scope", "domain", "--module", MODULES, "--format", "json",
                "--output", str(report), "--max-scan-time", str(SECONDS), "--max-attack-time", str(SECONDS // 10),
                "--flush-session", "--no-bugreport", "--verbose", "0", "--store-session", folder, "--timeout", "20",
                *(word for start in starts for word in ("--start", start)),
                "--exclude", f"{server.url}/static/*",
            ]  # fmt: skip
            subprocess.run(command, check=True, timeout=SECONDS * 2, stdout=sys.stderr)
            found = json.loads(report.read_text())
            log = server.log.read_text()
    return _judged(found, errors=log.count("Traceback"))


def _judged(report: dict[str, object], *, errors: int) -> int:
    """Prints what was found and how much was asked."""
    pages = report["infos"]["crawled_pages_nbr"]  # type: ignore[index]
    findings = [
        (kind, one)
        for group in ("vulnerabilities", "anomalies")
        for kind, ones in report[group].items()  # type: ignore[attr-defined]
        for one in ones
        if kind not in EXPECTED
    ]
    for kind, one in findings:
        print(f"{kind}: {one['method']} {one['path']} {one['parameter']}: {one['info']}")
    print(f"{pages} pages looked at, {len(findings)} findings, {errors} errors of ours in the log")
    return 1 if findings or errors or pages < 5 else 0


def _said(text: str) -> int:
    print(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
