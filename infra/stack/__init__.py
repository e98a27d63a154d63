"""PostgreSQL, SeaweedFS (S3) and MLflow on this machine: `make stack-up`, `make stack-down`.

The servers of infra/compose and infra/kubernetes, without containers: to try GTrans against real
servers, and for the tests. Linux; loopback only.
"""
