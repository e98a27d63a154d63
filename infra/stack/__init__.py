"""PostgreSQL, SeaweedFS (S3) and MLflow on this machine: `make stack-up`, `make stack-down`.

What infra/compose and infra/kubernetes run in containers, without any: a place to try GTrans
against a real server, and what the tests run against. Linux; loopback only.
"""
