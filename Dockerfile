# What is needed to build stays in the first stage; the second has Tandem alone, and nobody who may change it.

ARG PYTHON=3.14

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/tandem
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY api api
COPY domain domain
COPY readside readside
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt
RUN pip --python /opt/tandem/bin/python install --no-cache-dir --disable-pip-version-check ".[otel]"

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tandem
COPY --from=build /opt/tandem /opt/tandem
ENV PATH=/opt/tandem/bin:$PATH HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json TANDEM_ENV=production
USER 10001
# With HEALTH_PORT=9000 also 9000, and one more for each further worker.
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["tandem"]
CMD ["api"]
