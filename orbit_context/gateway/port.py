"""The Gateway port: what the SDK asks of whatever stands between it and the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from orbit_context.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FUNCTIONS", "Gateway", "encoded"]

FUNCTIONS = (
    "save_suite", "save_environment", "get_environment", "start_run", "get_run", "list_runs", "list_results", "read_events",
    "cancel_run", "rerun", "compare_runs", "get_context", "put_context", "resolve_dependencies", "cleanup_expired_contexts",
    "list_environments", "delete_environment", "set_variables", "list_variables", "resolve_variables", "delete_variable",
    "save_schedule", "list_schedules", "get_schedule", "next_slots", "pause_schedule", "resume_schedule", "delete_schedule",
    "save_channel", "list_channels", "delete_channel",
    "create_trigger_token", "list_trigger_tokens", "revoke_trigger_token", "list_workers", "list_groups",
    "create_agent_token", "list_agent_tokens", "revoke_agent_token", "set_worker_policy",
    "list_run_history", "list_metrics", "list_failures", "list_dead_letters",
    "get_dead_letter", "replay_dead_letters", "drop_dead_letters",
    "queue_status", "explain_waiting", "list_transitions", "stats", "health",
    "save_fixture", "list_fixtures", "get_fixture", "delete_fixture", "list_fixture_usage",
    "save_report_template", "list_report_templates", "get_report_template", "delete_report_template",
    "get_preferences", "set_preferences", "save_search", "list_searches", "run_search", "delete_search",
    "list_suites", "list_tests", "list_endpoints",
    "save_credential", "list_credentials", "delete_credential",
    "list_audit", "verify_audit", "get_limits", "set_limits", "get_usage",
    "set_setting", "unset_setting", "list_settings",
    "whoami", "create_organization", "list_organizations", "update_organization", "delete_organization",
    "list_members", "set_member_role", "remove_member",
    "invite_member", "list_invitations", "revoke_invitation", "accept_invitation",
    "save_business_unit", "list_business_units", "delete_business_unit",
    "list_unit_members", "set_unit_member", "remove_unit_member",
    "save_project", "list_projects", "delete_project",
    "grant_permission", "revoke_permission", "list_permissions", "can", "explain_access",
    "start_runs", "get_batch", "cancel_runs", "rerun_runs",
    "save_pipeline", "get_pipeline", "list_pipelines", "delete_pipeline",
    "start_pipeline", "get_pipeline_run", "list_pipeline_runs", "cancel_pipeline_run",
    "set_secret", "list_secrets", "read_secret", "rotate_secrets", "replace_secret",
)  # fmt: skip
"""The functions of schema `orbit` that callers use: one JSON object in, one JSON value out. Their SQL comments say which."""


class Gateway(Protocol):
    """Calls Orbit's SQL functions as one identity."""

    async def call(self, function: str, request: Mapping[str, Any]) -> Any:
        """The answer of `orbit.<function>(request)`, as JSON types.

        Raises the class of :mod:`orbit_context.errors` that stands for the SQLSTATE (OR…), and DatabaseUnavailableError where
        the database cannot be reached.
        """
        ...

    async def close(self) -> None: ...


def encoded(function: str, request: Mapping[str, Any]) -> bytes:
    """A request as JSON, the same whatever carries it. Raises ValueError for a function that is not of the contract, and
    InvalidRequestError for what JSON cannot hold."""
    import orjson

    if function not in FUNCTIONS:
        raise ValueError(f"orbit.{function} is not a function of the contract")
    try:
        return orjson.dumps(request, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InvalidRequestError(
            "the request cannot be written as JSON", detail=str(error), hint=f"see the comment of orbit.{function}"
        ) from error
