# The auditor on a CPU. Nothing is downloaded while it runs:
#   docker build -t reid-privacy-auditor .
#   docker run --rm --network none -v "$PWD:/work" reid-privacy-auditor run --config audit.yaml --out audit-out
FROM python:3.12-slim AS build
RUN python -m venv /opt/auditor
ENV PATH=/opt/auditor/bin:$PATH PIP_NO_CACHE_DIR=1
# torch's own index has it without the CUDA libraries, which are gigabytes
RUN pip install --index-url https://download.pytorch.org/whl/cpu "torch>=2.10" "torchvision>=0.25"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY auditor auditor
COPY attacks attacks
COPY defenses defenses
COPY reports reports
RUN pip install .

FROM python:3.12-slim
COPY --from=build /opt/auditor /opt/auditor
ENV PATH=/opt/auditor/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --create-home auditor
USER auditor
WORKDIR /work
ENTRYPOINT ["audit"]
CMD ["--help"]
