"""`manage.py check --deploy` on production settings, and no model change without its migration."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "onboarding.example",
            "PUBLIC_URL": "https://onboarding.example",
            "UPSTREAM_BASE_URL": "https://upstream.example/api",
            "UPSTREAM_COMPANY_ID": "1",
            "DATABASE_URL": f"sqlite:///{folder}/check.sqlite3",
        }
        for command in (["check", "--deploy", "--fail-level", "WARNING"], ["makemigrations", "--check", "--dry-run"]):
            print("manage.py", *command, flush=True)
            result = subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env)
            if result.returncode:
                return result.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
