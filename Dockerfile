# Build tools stay in the first stage. The second contains Tandem only, and its user cannot change it.
#
# A tag can be moved to another image, a digest cannot. Look up the current digest, and build with it:
#   docker buildx imagetools inspect python:3.14-slim
#   docker build --build-arg PYTHON_IMAGE=python@sha256:... .
# Do both again to update it. docs/SECURITY.md describes the same for compose.yaml.

ARG PYTHON_IMAGE=python:3.14-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
COPY .ci/setup/requirements.py .ci/setup/requirements.py
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The pinned pip first: older versions do not check the hashes of constraints.
RUN python .ci/setup/requirements.py pip >pip.txt \
 && python .ci/setup/requirements.py build >build.txt \
 && python .ci/setup/requirements.py otel >otel.txt
RUN pip install --require-hashes --requirement pip.txt
RUN pip install --require-hashes --constraint constraints.txt --requirement build.txt
RUN python -m venv --without-pip /opt/tandem
RUN pip --python /opt/tandem/bin/python install --require-hashes --constraint constraints.txt --requirement otel.txt
COPY api api
COPY domain domain
COPY readside readside
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
 && pip --python /opt/tandem/bin/python install --no-index --no-deps wheels/*.whl

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tandem
COPY --from=build /opt/tandem /opt/tandem
ENV PATH=/opt/tandem/bin:$PATH HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json TANDEM_ENV=production
USER 10001
# With HEALTH_PORT=9000 also 9000, and the next ports for further workers.
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["tandem"]
CMD ["api"]
