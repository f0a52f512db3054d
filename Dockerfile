FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --require-hashes -r requirements.txt

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 broadsheet \
    && install -d -o broadsheet /app /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA=/data
# Beside the code, not in /data: a volume mounted there would hide or outlive it.
ENV STATIC_ROOT=/app/static
RUN SECRET_KEY=only-to-collect-static-files python manage.py collectstatic --noinput -v0
USER broadsheet
EXPOSE 8000
CMD ["gunicorn", "-c", "python:config.gunicorn", "-b", "0.0.0.0:8000"]
