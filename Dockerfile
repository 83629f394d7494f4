# Two stages: the first builds the environment, the catalogues and the compressed static files; the second holds only
# what runs, as a user without rights, on a file system that may be read-only (SQLite needs a writable /app/var).
# Another BASE needs Python >= 3.11 with venv and ensurepip. docs/operations.md, "The image", has the commands.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /app
COPY requirements/run.txt requirements/
# pip stays outside of what is shipped. An index of your own, and the authority that it is signed by, come
# as secrets, which are in no layer.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    python3 -m venv /build && python3 -m venv --without-pip /venv \
 && /build/bin/pip --python /venv/bin/python install --no-cache-dir --require-hashes -r requirements/run.txt \
 && rm -rf /venv/lib/python3*/site-packages/phonenumbers/geodata  # 40 MB that name the places of numbers: nobody asks
COPY manage.py ./
COPY onboarding onboarding
COPY templates templates
COPY static static
RUN rm -rf onboarding/sandbox onboarding/management/commands/demo.py onboarding/management/commands/sandbox.py \
 && /venv/bin/python -m babel.messages.frontend --quiet compile -d onboarding/locale -D django \
 && DEBUG=false SECRET_KEY=only-for-collecting-static-files-0123456789 /venv/bin/python manage.py collectstatic --noinput \
 && rm -rf onboarding/locale/*/LC_MESSAGES/*.po && find onboarding -name __pycache__ -exec rm -rf {} + \
 && /venv/bin/python -m compileall -q onboarding && mkdir -p var

FROM ${BASE}
COPY --from=build /venv /venv
COPY --from=build /app /app
RUN chown 10001:10001 /app/var && { python3 -m pip uninstall --yes --root-user-action=ignore pip >/dev/null 2>&1 || true; }
WORKDIR /app
ENV PATH=/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \
    GRANIAN_HOST=0.0.0.0 GRANIAN_PORT=8000 GRANIAN_WORKERS=2 GRANIAN_BLOCKING_THREADS=128
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-c", "import os, urllib.request as u; e = os.environ; u.urlopen(u.Request('http://127.0.0.1:' + e['GRANIAN_PORT'] + '/healthz', headers={'Host': e['ALLOWED_HOSTS'].split(',')[0].lstrip('.')}), timeout=2)"]
# A configuration that cannot be meant is said once, before there are workers to say it each.
CMD ["sh", "-c", "python -m onboarding.wsgi && exec granian --interface wsgi --no-access-log --respawn-failed-workers onboarding.wsgi:application"]
