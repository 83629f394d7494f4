# Two stages: the first builds the environment, the catalogues and the compressed static files; the second runs them
# as a user without rights, on a file system that may be read-only (SQLite needs a writable /app/var).
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements/run.txt requirements/
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY manage.py ./
COPY onboarding onboarding
COPY templates templates
COPY static static
RUN /venv/bin/python -m babel.messages.frontend --quiet compile -d onboarding/locale -D django \
 && DEBUG=false SECRET_KEY=only-for-collecting-static-files-0123456789 /venv/bin/python manage.py collectstatic --noinput \
 && rm -rf onboarding/sandbox onboarding/management/commands/demo.py onboarding/management/commands/sandbox.py

FROM python:3.13-slim
RUN useradd --system --uid 10001 onboarding
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
RUN mkdir -p var && chown onboarding var
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER onboarding
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/healthz', headers={'Host': os.environ['ALLOWED_HOSTS'].split(',')[0].lstrip('.')}), timeout=2)"]
# A configuration that cannot be meant is said once, before there are workers to say it each.
CMD ["sh", "-c", "python -m onboarding.wsgi && exec granian --interface wsgi --host 0.0.0.0 --port 8000 --workers 2 --blocking-threads 128 --no-access-log --respawn-failed-workers onboarding.wsgi:application"]
