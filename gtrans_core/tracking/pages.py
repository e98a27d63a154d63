"""Addresses of MLflow's pages, as a person opens them."""

from __future__ import annotations

CLASSIC_VIEW = "workflowType=machine_learning"
"""MLflow 3.17 opens in its view for language models, whose sidebar has no model registry."""

LOCAL_UI = "http://127.0.0.1:5000"
"""Where ``gtrans ui`` serves, unless told otherwise."""


def page_address(server: str, page: str) -> str:
    """A page of a server, such as ``#/experiments/1``, in the view of runs and models."""
    return f"{server.rstrip('/')}/{classic(page)}"


def classic(page: str) -> str:
    """A page (``#/...``) in the view of runs and models; empty: that of all experiments."""
    page = page or "#/experiments"
    return f"{page}{'&' if '?' in page else '?'}{CLASSIC_VIEW}"
