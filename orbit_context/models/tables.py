"""One model for each table and view of schema `orbit`, as PostgREST gives its rows.

Written by tools/table_models.py from the database's catalog (`make types`); never by hand.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from orbit_context.models.base import Message

__all__ = [
    "Action",
    "ApiCredential",
    "ApiEndpoint",
    "AuditLogEntry",
    "BusinessUnit",
    "BusinessUnitMember",
    "DeadLetter",
    "Environment",
    "EnvironmentVariable",
    "FailureAnalysis",
    "FixtureUsage",
    "Limit",
    "NotificationChannel",
    "NotificationOutboxEntry",
    "Organization",
    "OrganizationInvitation",
    "OrganizationLimit",
    "OrganizationMember",
    "PerformanceMetric",
    "PermissionAssignment",
    "Pipeline",
    "PipelineRun",
    "PipelineRunStep",
    "Project",
    "ReportTemplate",
    "SavedSearch",
    "Schedule",
    "ScheduleSlot",
    "Setting",
    "SettingDefinition",
    "StateTransition",
    "TestCase",
    "TestDataFixture",
    "TestDependency",
    "TestExecutionContext",
    "TestRequestConfig",
    "TestResponseSpec",
    "TestResult",
    "TestResultDetail",
    "TestRun",
    "TestRunHistory",
    "TestSuite",
    "TestSuiteVersion",
    "TriggerToken",
    "User",
    "UserPreferences",
    "VariableDefinition",
    "Worker",
    "WorkerToken",
]


class Action(Message):
    """What can be done, where, and the least role it takes."""

    name: str
    """What policies and functions ask for: thing.verb."""
    level: Literal["organization", "business_unit", "project"]
    """Whose role counts: the organisation's, the business unit's or the project's. What is of projects may be asked
    of a whole unit or organisation too, and then its role counts."""
    role: Literal["owner", "admin", "editor", "viewer"]
    """The least role that may."""
    description: str
    """In a sentence, for people who grant it."""
    permissions: list[str]
    """Whoever has one of these may: the roles that suffice, and the action's own name."""


class ApiCredential(Message):
    """What people sign in with to the systems they test. Theirs alone: neither owners nor admins of the organisation
    see a row of somebody else's."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """Where it is used."""
    user_id: UUID | None = None
    """Whose; null: of the installation, where nobody signs in."""
    name: str
    """Unique among one's own in an organisation: a letter or underscore, then letters, digits, underscores, hyphens;
    up to 100."""
    credential_type: Literal["bearer", "basic", "api_key", "oauth2_client"]
    """bearer: a token; basic: a name and a password; api_key: a header and its value; oauth2_client: a client and its
    secret."""
    description: str | None = None
    """What it opens; up to 2,000 characters."""
    username: str | None = None
    """Of basic."""
    header_name: str | None = None
    """Of api_key: the header that carries the key."""
    token_url: str | None = None
    """Of oauth2_client: where a token is asked for; no user in it."""
    client_id: str | None = None
    """Of oauth2_client."""
    scopes: list[str]
    """Of oauth2_client: what a token is asked for; up to 100."""
    secret_id: UUID | None = None
    """The token, password, key or client secret, sealed for credential:<user_id or slug of the
    organisation>:<name>."""
    expires_at: datetime | None = None
    """When it ends; null: not known to."""
    last_used_at: datetime | None = None
    """When a run was last given it; null: never."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When it was last changed."""


class ApiEndpoint(Message):
    """What the project's tests call: a method and a path, templates unresolved."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The project whose tests call it."""
    method: str
    """In capitals."""
    path: str
    """As the tests write it: a path or a whole address, templates unresolved."""
    tags: list[str]
    """Tags of the tests that call it, each once."""
    created_at: datetime
    """When a test first named it."""


class AuditLogEntry(Message):
    """Who did what. Entries are only ever added; retention alone drops the oldest. No foreign keys: it outlives what
    it tells of, the organisation included."""

    organization_id: UUID
    """Whose chain; all zeros for what belongs to no organisation."""
    number: int
    """From 1, without gaps, in the order of commits."""
    at: datetime
    """When it was done; may differ from the order of numbers by the length of a transaction."""
    user_id: UUID | None = None
    """The signed-in person; null for a database role."""
    actor: str
    """The person's e-mail address at that time, or the name of the database role."""
    address: str | None = None
    """X-Forwarded-For as the request carried it, which a client may have begun with a lie; else the address of the
    database connection."""
    agent: str | None = None
    """The request's User-Agent, else the application_name of the database connection: a worker's name, say."""
    action: str
    """thing.verb: environment.update, run.cancel, secret.read."""
    resource_type: str
    """The kind of what it was done to."""
    resource_id: str | None = None
    """Its id; where the key has several columns, joined by a slash."""
    resource_name: str | None = None
    """Its key, slug, name or address at that time."""
    before: Any = None
    """What it was: of a change, the fields that changed. Secrets are masked, long values shortened to a digest."""
    after: Any = None
    """What it became, likewise."""
    hash: str
    """sha256 over the hash of the entry before and audit_text() of this one."""


class BusinessUnitMember(Message):
    """Who works in which business unit, and as what; members of its organisation only."""

    business_unit_id: UUID
    """Where."""
    user_id: UUID
    """Who."""
    organization_id: UUID
    """The unit's organisation."""
    role: Literal["admin", "editor", "viewer"]
    """viewer < editor < admin, for every project of the unit."""
    created_at: datetime
    """Since when."""


class BusinessUnit(Message):
    """Parts of an organisation that do not see each other's projects."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The organisation it is a part of."""
    slug: str
    """Its name in requests: lower case, digits, hyphens; up to 63."""
    name: str
    """As people read it."""
    description: str | None = None
    """What it does, in a sentence."""
    created_at: datetime
    """When it was made."""


class DeadLetter(Message):
    """Tests that were given up because three workers were lost over them, whose fault it may well be. Written where
    the queue gives up. Open until replayed or dropped."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The run's project."""
    run_id: UUID
    """The run it belonged to, with which it goes."""
    test_case_id: UUID
    """Which test."""
    position: int
    """Of the test in the run's suite, from 0."""
    attempts: int
    """How often it was handed out."""
    reason: str | None = None
    """What is known of the last loss."""
    previous_attempts: Any
    """The attempts before the last, as in the result's details: [{number, status, reason, worker, …}]."""
    created_at: datetime
    """When it was given up."""
    replayed_at: datetime | None = None
    """When it was tried anew; null: not yet."""
    replay_run_id: UUID | None = None
    """The run that tries it anew; null also where that run is gone."""
    dropped_at: datetime | None = None
    """When somebody decided to leave it at that; null: not yet."""
    closed_by: UUID | None = None
    """Who replayed or dropped it; null for administrative roles."""
    note: str | None = None
    """What they said when they did; null: nothing."""


class EnvironmentVariable(Message):
    """Variables of an environment. Admins may write those that are no secrets directly."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The environment's."""
    environment_id: UUID
    """Where it holds."""
    name: str
    """As an environment file has it: no dots, brackets, braces, quotes or bars; {{name}}, or {{vars["a name"]}} where
    it is no single word."""
    value: Any = None
    """JSON, up to 64 KiB as text, perhaps with templates; null for a secret."""
    value_type: Literal["string", "number", "boolean", "object", "array", "any"]
    """The JSON type that the value keeps, or any. A secret's is what was declared."""
    priority: int
    """Higher comes first, whatever the scope; 0 unless said."""
    description: str | None = None
    """What it is for, in a sentence."""
    secret_id: UUID | None = None
    """Where the value of a secret lies sealed."""
    uses: list[str]
    """Names inside {{ … }} of the value, other variables perhaps; of a secret, as whoever sealed it told."""
    updated_at: datetime
    """When it was last changed."""


class Environment(Message):
    """Where a project's tests run: local, staging, production."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's."""
    project_id: UUID
    """Whose it is."""
    name: str
    """As `--env` and requests say it; up to 200 characters."""
    description: str | None = None
    """What is there, in a sentence."""
    created_at: datetime
    """When it was made."""
    updated_at: datetime
    """When it was last saved."""


class FailureAnalysis(Message):
    """Failures of one kind of one test in one environment, with what they have in common. Filled by the analysis of
    results."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The test's project."""
    test_case_id: UUID
    """Which test failed."""
    environment_id: UUID | None = None
    """Where; null: in runs without an environment."""
    fingerprint: str
    """What makes two failures of a test the same: a digest of category, place and message with everything that varies
    taken out."""
    category: Literal[
        "assertion",
        "schema",
        "capture_missing",
        "template",
        "config",
        "data",
        "dns",
        "connect",
        "tls",
        "timeout",
        "reset",
        "protocol",
        "proxy",
        "body_too_large",
        "too_many_redirects",
        "status_4xx",
        "status_5xx",
        "auth",
        "expression",
        "dependency",
        "runner_lost",
        "cancelled",
        "internal",
    ]
    """Why it did not pass, in the words of results."""
    message: str
    """The message of the newest of them; secrets are masked."""
    root_cause_hint: str | None = None
    """What is worth looking at first, in a sentence; null where nothing is known."""
    cluster: str
    """The same for failures of different tests that probably have one cause."""
    occurrences: int
    """How many there were."""
    first_run_id: UUID
    """The run in which it was seen first; it may be gone."""
    first_seen_at: datetime
    """When that was."""
    last_run_id: UUID
    """The run in which it was seen last; it may be gone."""
    last_seen_at: datetime
    """When that was."""


class FixtureUsage(Message):
    """Which version of which data set a suite version was saved with (run_id is null), and which runs then used it.
    Outlives the data set."""

    id: int
    """In the order of use."""
    project_id: UUID
    """The project of both."""
    fixture_id: UUID | None = None
    """Null once the data set was deleted; name and version stay."""
    fixture_name: str
    """As it was called then."""
    fixture_version: int
    """Its version then."""
    rows_used: int
    """How many rows: one test each."""
    suite_id: UUID
    """The suite that names it."""
    version_id: UUID
    """The version of the suite that carries its rows."""
    run_id: UUID | None = None
    """The run that used it; null: the suite was saved with it."""
    used_at: datetime
    """When the run was started, or the suite saved."""


class Limit(Message):
    """What can be limited."""

    name: str
    """As requests and errors name it."""
    kind: Literal["rate", "quota"]
    """rate: so many in a time, with a burst. quota: so many at all."""
    description: str
    """In a sentence."""


class NotificationChannel(Message):
    """Who is told of what happens in a project, and by which way."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """Whose events."""
    name: str
    """What people call it; one of its name in a project."""
    kind: Literal["slack", "email", "webhook"]
    """slack, email or webhook."""
    recipients: list[str]
    """Addresses of e-mail, up to 50; empty for other kinds."""
    url: str | None = None
    """Where a webhook is sent, without user or password; null for other kinds."""
    secret_id: UUID | None = None
    """Sealed for channel:<project's slug>:<name>: the address that Slack gave out, which is a secret as a whole, or
    the key with which a webhook is signed. Null: none."""
    events: list[str]
    """Of what it is told."""
    only_failures: bool
    """Of runs and tests only those that did not pass."""
    enabled: bool
    """False: nobody is told, and what waits stays."""
    created_by: UUID | None = None
    """Who made it; null for administrative roles, or where the account is gone."""
    created_at: datetime
    """When it was made."""
    updated_at: datetime
    """When somebody last changed it."""


class NotificationOutboxEntry(Message):
    """What has to be told, and what was. Filled in the transaction of what happened; runners deliver it."""

    id: int
    """In the order of writing."""
    project_id: UUID
    """The channel's project."""
    channel_id: UUID
    """By which way."""
    event: Literal[
        "test_started",
        "test_completed",
        "test_failed",
        "run_completed",
        "flaky_test_detected",
        "performance_degradation",
    ]
    """What happened."""
    run_id: UUID | None = None
    """In which run; null where it was in none."""
    payload: Any
    """What is told, before it is worded for the channel; secrets are masked."""
    status: Literal["waiting", "sent", "given_up"]
    """waiting, sent, or given_up after the last attempt."""
    attempts: int
    """How often it was tried."""
    due_at: datetime
    """Not to be tried before."""
    last_error: str | None = None
    """What the last attempt met; null: nothing yet."""
    created_at: datetime
    """When it happened."""
    ended_at: datetime | None = None
    """When it was sent or given up."""


class OrganizationInvitation(Message):
    """Who was asked in. An invitation holds as long as whoever sent it may give what it gives."""

    id: UUID
    """Drawn at random; names the invitation, and accepts nothing."""
    organization_id: UUID
    """Where to."""
    email: str
    """Whom, in lower case: the account that accepts must have this address."""
    role: Literal["owner", "admin", "editor", "viewer"]
    """The role in the organisation that it gives."""
    business_unit_id: UUID | None = None
    """The business unit that it leads into as well; or null."""
    business_unit_role: str | None = None
    """The role in that unit."""
    token_hash: str
    """SHA-256 of the token, which is told once and stored nowhere."""
    invited_by: UUID | None = None
    """Who sent it; null where an administrative role did. With the account go its invitations."""
    created_at: datetime
    """When it was sent."""
    expires_at: datetime
    """Until when it can be accepted; seven days unless said otherwise."""
    accepted_by: UUID | None = None
    """Who accepted it; null too where that account is gone."""
    accepted_at: datetime | None = None
    """When it was accepted."""
    revoked_by: UUID | None = None
    """Who took it back; null too where an administrative role did, or inviting the same address again."""
    revoked_at: datetime | None = None
    """When it was taken back."""


class OrganizationLimit(Message):
    """The limits that are set: for one organisation, or as default for those that have none of their own."""

    id: int
    """In the order in which they were set."""
    organization_id: UUID | None = None
    """Whose; null: the default of all."""
    name: str
    """Which."""
    amount: int | None = None
    """How many; null: as many as one likes, whatever the default says."""
    per: float | None = None
    """A rate: in how many seconds."""
    burst: int | None = None
    """A rate: how many at once after a pause."""


class OrganizationMember(Message):
    """Who belongs to which organisation, and as what. An organisation keeps at least one owner."""

    organization_id: UUID
    """Where."""
    user_id: UUID
    """Who."""
    role: Literal["owner", "admin", "editor", "viewer"]
    """viewer < editor < admin < owner. Viewer and editor hold for projects of no business unit; admin and owner for
    all."""
    created_at: datetime
    """Since when."""


class Organization(Message):
    """Tenants: every other row belongs to exactly one. Deleting one deletes all it holds."""

    id: UUID
    """Drawn at random."""
    slug: str
    """Its name in addresses and requests: lower case, digits, hyphens; up to 63."""
    name: str
    """As people read it."""
    created_by: UUID | None = None
    """Null where an administrative role made it, or the account is gone."""
    created_at: datetime
    """When it was made."""


class PerformanceMetric(Message):
    """A test's day in an environment: how often, how fast, how often with success. Filled by the roll-up of
    results."""

    id: UUID
    """Drawn at random; the row is found by test, environment and date."""
    project_id: UUID
    """The test's project."""
    test_case_id: UUID
    """Which test."""
    environment_id: UUID | None = None
    """Where it ran; null: in runs without an environment."""
    date: date
    """The day in UTC on which the results became final."""
    total_runs: int
    """Results with a verdict or an error; skipped and cancelled ones do not count."""
    successful_runs: int
    """Of these, those that passed, on a retry or at once."""
    average_response_time_ms: float
    """Arithmetic mean of the last attempts, in milliseconds."""
    p95_response_time_ms: float
    """95th percentile in milliseconds."""
    p99_response_time_ms: float
    """99th percentile in milliseconds."""
    success_rate: float
    """successful_runs of total_runs in per cent: 95.50."""
    updated_at: datetime
    """When a result was last counted in."""


class PermissionAssignment(Message):
    """What somebody was given beyond their membership."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID | None = None
    """The organisation of the resource; null for the whole system."""
    user_id: UUID
    """Who was given it; a member of that organisation."""
    permission_type: str
    """A role (viewer, editor, admin) or the name of one action."""
    resource_type: Literal["system", "business_unit", "project", "environment", "suite"]
    """Of what. Granted on an environment or a suite, it raises what may be done there by somebody who sees the
    project; it opens no project."""
    resource_id: UUID | None = None
    """Of which; null for the whole system."""
    granted_by: UUID | None = None
    """Who gave it; null where an administrative role did, or the account is gone."""
    granted_at: datetime
    """When."""
    expires_at: datetime | None = None
    """Until when; null: until it is revoked."""
    revoked_by: UUID | None = None
    """Who took it back."""
    revoked_at: datetime | None = None
    """When it was taken back."""


class PipelineRunStep(Message):
    """The steps of a pipeline's run, as they were when it was started, and how far each is."""

    pipeline_run_id: UUID
    """Of which run of the pipeline."""
    number: int
    """Its place in the pipeline, from 1."""
    project_id: UUID
    """The pipeline's project: what the policy looks at."""
    key: str
    """Its name in the pipeline."""
    request: Any
    """What is asked of start_run: {suite, environment?, variables?, selection?, concurrency?, fail_fast?, timeout?,
    priority?}."""
    needs: list[str]
    """Keys of the steps that it waits for."""
    condition: Literal["passed", "failed", "finished"]
    """When it runs: all it needs passed; one failed; or however they ended. A failure that is allowed counts as
    passed."""
    allow_failure: bool
    """Whether its failure leaves the pipeline's verdict and what needs it alone."""
    retries: int
    """How often its run is started anew where it did not pass, 0 to 10; a cancelled one is not."""
    status: Literal["waiting", "running", "passed", "failed", "errored", "timed_out", "cancelled", "skipped"]
    """waiting → running → passed, failed, errored (no verdict, or it could not be started), timed_out or cancelled;
    or waiting → skipped. Running goes back to waiting where it is run again."""
    reason: str | None = None
    """Why it is skipped, did not pass, or still waits."""
    caused_by: str | None = None
    """The step whose failure it is skipped for, directly or through others; null: nothing failed, or it is not
    skipped."""
    attempt: int
    """How many runs were started for it."""
    run_id: UUID | None = None
    """Its run; null: not started, or deleted since."""
    previous_runs: list[UUID]
    """Its runs before that one, which did not pass."""
    due_at: datetime | None = None
    """Not to be started before: a limit put it off. Null: nothing did."""
    refused_at: datetime | None = None
    """When its start was first put off; null: it was not."""
    started_at: datetime | None = None
    """When its first run was started."""
    finished_at: datetime | None = None
    """When it ended, or was skipped."""


class PipelineRun(Message):
    """One execution of a pipeline. Its id is the batch_id of the runs of its steps."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """The pipeline's project."""
    pipeline_id: UUID | None = None
    """Which pipeline; null where it was deleted since."""
    key: str
    """The pipeline's key."""
    version: int
    """Which version of it; the steps are those of that version."""
    status: Literal["waiting", "running", "cancelling", "passed", "failed", "errored", "timed_out", "cancelled"]
    """waiting (nothing of it has started) → running → passed, failed, errored, timed_out or cancelled; cancelling
    while the runs of its steps are being told. The verdict is the worst of the steps without allow_failure, skipped
    ones aside."""
    reason: str | None = None
    """Why it was cancelled, or which steps did not pass; null where neither."""
    environment: str | None = None
    """Of steps that name none; null: those run without."""
    variables: Any
    """Those given at the start, by name; they go before the steps' own."""
    triggered_by: str
    """What started it: cli, sdk, …"""
    idempotency_key: str | None = None
    """A start with the same key answers this one; null: none was given."""
    created_by: UUID | None = None
    """Who started it, and with whose rights each of its steps is started; null for administrative roles. No foreign
    key: whose account is gone has no rights, and is not made an administrative role."""
    created_at: datetime
    """When it was asked for."""
    started_at: datetime | None = None
    """When the first step was started; null: none was."""
    finished_at: datetime | None = None
    """When the last step ended."""


class Pipeline(Message):
    """Suites as one plan: what is run after what, and under which condition. What was started keeps the steps it was
    started with."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """Whose suites and environments it names."""
    key: str
    """Its name in requests; one of its name in a project."""
    name: str | None = None
    """As people read it; null: as its key."""
    description: str | None = None
    """What it is for."""
    version: int
    """Counts the changes of steps, from 1."""
    steps: Any
    """[{key, suite, environment?, needs?: [key], when?, variables?, selection?, concurrency?, fail_fast?, timeout?
    (seconds), priority?, allow_failure?, retries?}], as it was saved."""
    created_by: UUID | None = None
    """Who made it; null for administrative roles, or where the account is gone."""
    created_at: datetime
    """When it was made."""
    updated_at: datetime
    """When somebody last changed it."""


class Project(Message):
    """A system under test with its suites and environments. Deleting one deletes its whole history."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """Whose it is."""
    business_unit_id: UUID | None = None
    """The unit that it belongs to; null: every member of the organisation sees it."""
    slug: str
    """Its name in requests: lower case, digits, hyphens; up to 63."""
    name: str
    """As people read it."""
    created_at: datetime
    """When it was made."""


class ReportTemplate(Message):
    """A project's own reports: Jinja templates over the document that `orbit show --json` writes."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """Whose runs it shows."""
    name: str
    """Letters, digits, dots, underscores, hyphens; up to 100. `default` means the one that is_default."""
    kind: Literal["html", "md", "text"]
    """What it makes: html (values are escaped), md or text."""
    source: str
    """The Jinja text; up to 256 KiB. Rendered in a sandbox, never in the database."""
    is_default: bool
    """At most one of a project."""
    created_by: UUID | None = None
    """Who saved it first; null where an administrative role did, or the account is gone."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When it was last changed."""


class SavedSearch(Message):
    """Questions that people ask again: which runs, results, suites, tests or data sets, by which filter."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """Where it looks."""
    user_id: UUID | None = None
    """Whose; null: of the installation, where nobody signs in."""
    project_id: UUID | None = None
    """Where alone it looks; null: in every project that whoever runs it sees."""
    name: str
    """Unique among one's own in an organisation: letters, digits, dots, underscores, hyphens; up to 100."""
    entity: Literal["runs", "results", "suites", "tests", "fixtures"]
    """What it finds."""
    filter: Any
    """The fields of orbit_private.search_fields() and what they must be; checked when it is saved, and again when it
    is run."""
    shared: bool
    """Whether everybody who sees the project may run it, each seeing what is theirs to see."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When it was last changed."""


class ScheduleSlot(Message):
    """What became of each time at which a schedule was due: of each the newest 1,000 of the last 90 days. A slot is
    here once it is decided, and is decided once."""

    schedule_id: UUID
    """Whose."""
    slot_at: datetime
    """When it was due."""
    project_id: UUID
    """The schedule's project."""
    status: Literal["started", "missed", "failed"]
    """started; missed: nobody was there and the schedule does not make up for it; failed: the start was refused."""
    reason: str | None = None
    """Why it did not start; null where it did."""
    run_id: UUID | None = None
    """The run that it started; null also where it is gone."""
    until_at: datetime | None = None
    """The row stands for all slots up to this one, after a long outage; null: for one."""
    decided_at: datetime
    """When a worker came by and decided it."""


class Schedule(Message):
    """When a suite is run by itself. Saved by people; next_run_at and last_run_at are the engine's, which starts the
    runs."""

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The suite's project."""
    suite_id: UUID
    """What is run: its latest version at the time."""
    environment_id: UUID | None = None
    """Where; null: without an environment. With the environment goes the schedule: it must not run against something
    else."""
    name: str
    """What people call it; one of its name in a project."""
    kind: Literal["cron", "interval", "once"]
    """cron, interval or once; it says which of the next three is set."""
    cron: str | None = None
    """Five fields, read in time_zone: minute, hour, day of month, month, day of week."""
    every: str | None = None
    """From one start to the next, a minute to 366 days."""
    at: datetime | None = None
    """The one time at which it runs."""
    time_zone: str
    """A name of the IANA database: Europe/Paris. A cron expression means that place's clocks, summer time
    included."""
    missed: Literal["skip", "once", "all"]
    """What is made up for when nobody was there to start it: skip: nothing; once: all of it by one run; all: each
    slot, at most the newest 100."""
    paused: bool
    """It starts nothing until resumed."""
    options: Any
    """What else start_run takes: selection, variables, concurrency, fail_fast, timeout, priority, order, group. No
    secrets: those belong to the environment."""
    anchor_at: datetime
    """From where intervals are counted."""
    next_run_at: datetime | None = None
    """The slot that is due next. Null while paused, and when it will not run any more."""
    retry_at: datetime | None = None
    """The start of that slot was refused for a while: it is tried again then."""
    retries: int
    """How often that slot's start was refused."""
    last_run_at: datetime | None = None
    """When it last started a run; null: never."""
    last_run_id: UUID | None = None
    """That run; null also where it is gone."""
    last_error: str | None = None
    """Why the last start was refused; null where it was not."""
    administrative: bool
    """Its runs start with the rights of an administrative role: such a one saved it last."""
    owner_id: UUID | None = None
    """As whom its runs start: who saved it last. Null where it is administrative; else the account is gone, and it
    starts none."""
    created_by: UUID | None = None
    """Who made it; null for administrative roles, or where the account is gone."""
    created_at: datetime
    """When it was made."""
    updated_at: datetime
    """When somebody last changed it."""


class SettingDefinition(Message):
    """What can be set."""

    name: str
    """As requests and `orbit config` say it; of a host, followed by a colon and the host."""
    value_type: Literal["integer", "number", "boolean", "rate"]
    """integer, number, boolean, or rate: {per_second, burst}."""
    minimum: float | None = None
    """The least value; of a rate, of per_second. Null for a boolean."""
    maximum: float | None = None
    """The greatest value, likewise."""
    default_value: Any = None
    """What holds where nothing is set; null: none, and then "none" may be set as well."""
    levels: list[str]
    """Where it may be set: installation (for all organisations), organization, project, environment."""
    takes_host: bool
    """Whether it is set for one target host each."""
    unit: str | None = None
    """Of what its value is a number; null: of nothing."""
    description: str
    """In a sentence."""


class Setting(Message):
    """What was set, and where."""

    id: int
    """In the order in which they were first set."""
    organization_id: UUID | None = None
    """Whose; null: of the installation, for all organisations."""
    project_id: UUID | None = None
    """Of which project; null: of the organisation as a whole."""
    environment_id: UUID | None = None
    """Of which environment of it; null: of the project as a whole."""
    level: str
    """installation | organization | project | environment: the narrowest of the columns before that is set."""
    name: str
    """What is set."""
    host: str | None = None
    """Of which target host, in lower case and without a port; null unless the definition takes one."""
    value: Any
    """Of the definition's type and in its range; JSON's null: none, whatever wider levels say."""
    updated_by: UUID | None = None
    """Who set it last; null for administrative roles, or where the account is gone."""
    updated_at: datetime
    """When it was last set."""


class StateTransition(Message):
    """Every change of state there is. What a test does on its way (subject test) is told apart from what comes of it
    (subject result)."""

    subject: Literal["run", "test", "result"]
    """run: orbit.test_runs.status. test: where the test of a run stands in the queue. result:
    orbit.test_results.status."""
    from_state: str
    """The state before; `new` where there was none."""
    to_state: str
    """The state after."""
    by_whom: Literal["caller", "worker", "system", "caller or system", "worker or system", "anybody"]
    """Whose doing it is: caller (whoever starts or cancels the run), worker, or system (deadlines, back-offs, lost
    workers)."""
    description: str
    """When that happens, in a sentence."""


class TestCase(Message):
    """One test of a suite; its history hangs on this row's id."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random; results, metrics and failures refer to it."""
    project_id: UUID
    """The suite's project."""
    suite_id: UUID
    """Of which suite."""
    key: str
    """Its name in the suite, by which dependencies and captures mean it."""
    stable_key: str
    """The document's id, or the key: what is matched when a suite is saved again."""
    name: str
    """Its title, as people read it."""
    description: str | None = None
    """What it shows; null: not said."""
    tags: list[str]
    """Words by which a run selects tests."""
    enabled: bool
    """False: every run skips it."""
    skip_reason: str | None = None
    """Why it is switched off; null while it is not."""
    always: bool
    """Clean-up: it waits for what it needs and runs however that ended."""
    max_attempts: int
    """1 and its retries, at most 21."""
    backoff: list[float]
    """Seconds before the next attempt: initial, maximum, and the factor between attempts."""
    uses: list[str] | None = None
    """Names of the variables that it refers to, also through others: what a worker that holds it is given of the
    secrets. Null: nobody said, it may be any."""
    requires: list[str]
    """What a worker must be able to do to take it, in alphabetical order: docker, android, …; http is a matter of
    course."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When a version last changed it."""
    archived_at: datetime | None = None
    """When a version of the suite left it out; null: it is in the latest."""


class TestDataFixture(Message):
    """Data sets of a project: rows for data-driven tests, which suites name in `data: {fixture: …}`. Only the present
    version is kept: a saved suite carries the rows it was saved with."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """Whose suites may name it."""
    name: str
    """As suites name it: letters, digits, dots, underscores, hyphens; up to 100."""
    description: str | None = None
    """What the data are good for; up to 2,000 characters."""
    tags: list[str]
    """To find it by; up to 50."""
    columns: list[str]
    """The names of the rows' fields, in the order of the file: jsonb keeps none."""
    rows: Any
    """An array of objects. No secrets: everybody who sees the project reads them."""
    row_count: int
    """1 to 100,000."""
    bytes: int
    """Of the rows as JSON text; up to 1 MiB."""
    version: int
    """From 1; one more whenever rows or columns change. A name that is used again after a deletion goes on
    counting."""
    digest: str
    """SHA-256 of columns and rows, in hexadecimal."""
    created_by: UUID | None = None
    """Who saved it first; null where an administrative role did, or the account is gone."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When it was last changed."""


class TestDependency(Message):
    """Which test needs which: in order, for captured data, or for a token."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The project of both tests."""
    dependent_test_id: UUID
    """The test that waits."""
    required_test_id: UUID
    """The test that it waits for."""
    dependency_type: Literal["order", "data", "token"]
    """order: it comes after; data: it uses what was captured; token: it uses a token. Of several the last in this
    list."""


class TestExecutionContext(Message):
    """The context of each run as one document; secret values are sealed. Empty 24 hours after the run."""

    __test__: ClassVar[bool] = False

    run_id: UUID | None = None
    """Which run."""
    project_id: UUID | None = None
    """The run's project."""
    shared_auth_tokens: Any = None
    """{name: token}."""
    shared_variables: Any = None
    """{name: value}."""
    captured_data: Any = None
    """{test: {name: value}}."""
    test_order: list[str] | None = None
    """The keys of the suite's tests, in its order."""
    updated_at: datetime | None = None
    """When the run last moved: finished, started or asked for."""


class TestRequestConfig(Message):
    """The request of a test, as its suite writes it."""

    __test__: ClassVar[bool] = False

    test_case_id: UUID
    """Which test."""
    project_id: UUID
    """The test's project."""
    endpoint_id: UUID | None = None
    """What it calls; null where its address has gone."""
    request: Any
    """Method, url, headers, body and the rest, templates unresolved."""


class TestResponseSpec(Message):
    """What a test expects of the answer and takes from it."""

    __test__: ClassVar[bool] = False

    test_case_id: UUID
    """Which test."""
    project_id: UUID
    """The test's project."""
    expectations: Any
    """What must hold, in order: [{…}]."""
    captures: Any
    """What is taken from the answer, by name: {name: {…}}."""
    poll: Any = None
    """Until when the request is repeated, and how often; null: it is sent once."""


class TestResultDetail(Message):
    """What was sent, answered and missed; secrets are masked before they get here. Partitioned like test_results, so
    that both are dropped together."""

    __test__: ClassVar[bool] = False

    run_id: UUID
    """As in test_results."""
    position: int
    """As in test_results."""
    created_at: datetime
    """As in test_results."""
    status: str
    """As in test_results."""
    project_id: UUID
    """As in test_results."""
    failures: Any = None
    """What did not hold: [{message, where, expected, actual, category, hint}]."""
    exchange: Any = None
    """What was sent and answered in the last attempt, cut where it is long; null where it was not kept."""
    previous_attempts: Any = None
    """The attempts before the last: [{number, status, reason, category, duration, failures, worker}]."""


class TestResult(Message):
    """The final result of each test of each run."""

    __test__: ClassVar[bool] = False

    run_id: UUID
    """Which run. No foreign key: between partitioned tables one would cost ten times the insert."""
    position: int
    """Of the test in the run's suite, from 0."""
    created_at: datetime
    """When it became final; says in which partition it lies."""
    status: Literal["passed", "passed_on_retry", "failed", "errored", "timed_out", "skipped", "cancelled"]
    """The verdict; it never changes."""
    project_id: UUID
    """The run's project: what policies look at."""
    test_case_id: UUID
    """Which test."""
    environment_id: UUID | None = None
    """The run's environment; null: none."""
    category: str | None = None
    """Why it did not pass, in one word; null where it did."""
    reason: str | None = None
    """Why it did not pass, in a sentence; secrets are masked."""
    duration_ms: float
    """Milliseconds of the last attempt, polling included."""
    attempts: int
    """How many were made; 0 where the test was never sent."""
    started_at: datetime | None = None
    """When the last attempt began; null where none was made."""
    worker_id: int | None = None
    """Who made the last attempt; null where none was made."""


class TestRunHistory(Message):
    """A row per finished run, written in the transaction that finishes it. It stays when the run, its suite and its
    environment are gone, which is why it names them and refers to none."""

    __test__: ClassVar[bool] = False

    run_id: UUID
    """The run's id."""
    organization_id: UUID
    """Whose run it was."""
    project_id: UUID
    """The project, with which its history goes."""
    suite_id: UUID
    """The suite's id; there may be none of that id any more."""
    suite: str
    """The suite's name when the run ended."""
    environment_id: UUID | None = None
    """The environment's id; there may be none of that id any more. Null: the run had none."""
    environment: str | None = None
    """The environment's name when the run ended."""
    status: Literal["passed", "failed", "errored", "cancelled", "timed_out"]
    """The verdict."""
    reason: str | None = None
    """Why it was cancelled or timed out."""
    triggered_by: str
    """What started it: cli, sdk, schedule, a token's name."""
    created_by: UUID | None = None
    """Who started it; null for administrative roles and schedules."""
    total: int
    """Tests of the run; the sum of the seven that follow."""
    passed: int
    """Tests that passed at the first attempt."""
    passed_on_retry: int
    """Tests that passed at a later one."""
    failed: int
    """Tests with the verdict that the system under test is wrong."""
    errored: int
    """Tests that reached no verdict."""
    timed_out: int
    """Tests that their deadline ended."""
    skipped: int
    """Tests whose requirements were not met, or that are switched off."""
    cancelled: int
    """Tests that the end of the run overtook."""
    created_at: datetime
    """When it was asked for."""
    started_at: datetime
    """When its first test was handed out; its end where none was."""
    finished_at: datetime
    """When its last result became final."""
    duration_ms: float
    """Milliseconds from start to finish."""


class TestRun(Message):
    """One execution of a suite version."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random, or chosen by who started it."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """The suite's project."""
    suite_id: UUID
    """Which suite."""
    version_id: UUID
    """Which version of it; it stays that one."""
    environment_id: UUID | None = None
    """Where; null: without one, or the environment is gone."""
    queue_no: int
    """The run's number in the queue: a job's id is queue_no × 2^20 + the test's position, so that a run's jobs lie
    together."""
    lane: int
    """Where its jobs wait, if its tests do not ask for anything: 0 is shared by all workers; a run that brings its
    own worker has a lane to itself (its queue_no)."""
    affinity_group: str | None = None
    """What its tests are executed together by: a worker that is set up for it takes them all. Null: by nothing."""
    status: Literal["queued", "running", "cancelling", "passed", "failed", "errored", "cancelled", "timed_out"]
    """queued → running → passed, failed, errored, cancelled or timed_out; cancelling while workers are being told.
    Live: orbit.get_run."""
    reason: str | None = None
    """Why it was stopped; null where it was not."""
    priority: int
    """-100 to 100: a step is worth a minute of waiting."""
    concurrency: int | None = None
    """How many of its tests run at once, at most; null: as many as there are slots."""
    fail_fast: bool
    """Whether the first failure ends it; clean-up still runs."""
    selection: Any = None
    """Which tests were asked for: {tests, tags}; null: all."""
    variables: Any
    """Those given at the start, by name; they come before the environment's."""
    defaults: list[str]
    """Names in variables and secrets that the suite itself brought: the database's variables go before them."""
    templates: Any
    """Variables given with the run that refer to others: filled in where they are used."""
    base_dir: str | None = None
    """Where the suite file lies on the machine that started the run: bodies and schemas in files are looked for
    there."""
    triggered_by: str
    """What started it: cli, sdk, …"""
    idempotency_key: str | None = None
    """A start with the same key answers this run; null: none was given."""
    batch_id: UUID | None = None
    """What it was started with: a batch (orbit.start_runs), or a pipeline's run, whose id it then is; null: alone."""
    secret_names: list[str]
    """Names of the secret variables that were given with the start, and credentials.x of the credentials; their
    values are gone 24 hours after the run."""
    rerun_of: UUID | None = None
    """Which run it runs again, in whole or in part; null: none, or that one is gone."""
    counts: Any = None
    """{total, waiting, running, passed, …} at its end; null until then."""
    event_seq: int
    """The number of its last event, when it is finished."""
    created_by: UUID | None = None
    """Who started it; null for administrative roles."""
    created_at: datetime
    """When it was asked for."""
    started_at: datetime | None = None
    """When its first test was handed out."""
    finished_at: datetime | None = None
    """When its last result became final."""


class TestSuiteVersion(Message):
    """What a suite said at a time; a run executes exactly one version."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random."""
    project_id: UUID
    """The suite's project."""
    suite_id: UUID
    """Of which suite."""
    number: int
    """From 1, without gaps."""
    digest: str
    """SHA-256 of the request that saved it, in hexadecimal: the same again makes no new version."""
    document: Any
    """The suite as pydantic wrote it, templates unresolved."""
    test_case_ids: list[UUID]
    """In the order of the document: a job's position is an index into it."""
    created_at: datetime
    """When it was saved."""


class TestSuite(Message):
    """A named set of tests that depend on each other."""

    __test__: ClassVar[bool] = False

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """The project it tests."""
    key: str
    """Stable name: keeps the history when the suite's title changes."""
    name: str
    """Its title, as people read it."""
    description: str | None = None
    """What it is about; null: not said."""
    tags: list[str]
    """Words by which suites are found."""
    latest_version: int
    """The number of the version that a run takes; 0 only while the first is being saved."""
    created_at: datetime
    """When it was first saved."""
    updated_at: datetime
    """When a version was last saved."""
    archived_at: datetime | None = None
    """When it was taken out of lists; null: it is in them."""


class TriggerToken(Message):
    """What a pipeline shows to start runs of a project. The token itself is answered once, when it is made, and kept
    nowhere."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """The project's organisation."""
    project_id: UUID
    """Of which project it starts runs."""
    name: str
    """Where it is used: github-actions."""
    prefix: str
    """Its first 14 characters, by which it is recognised."""
    hash: str
    """SHA-256 of the token. It holds 224 random bits, which need no slower hash. Not readable by clients."""
    created_by: UUID | None = None
    """Who made it; null for administrative roles, or where the account is gone."""
    created_at: datetime
    """When it was made."""
    expires_at: datetime | None = None
    """Until when it holds; null: until it is revoked."""
    last_used_at: datetime | None = None
    """When it was last shown, to the minute; null: never."""
    revoked_at: datetime | None = None
    """When it was taken back."""
    revoked_by: UUID | None = None
    """Who took it back."""


class UserPreferences(Message):
    """What people like: one row a person, at most. People read and write their own, and nobody else's."""

    id: UUID
    """Drawn at random."""
    user_id: UUID | None = None
    """Whose; null: of the installation, where nobody signs in."""
    preferences: Any
    """Known keys only, each of its type: see orbit.set_preferences."""
    updated_at: datetime
    """When the last of them was set."""


class User(Message):
    """People. A row comes with the account of Supabase Auth, and goes with it."""

    id: UUID
    """The id of the account, the `sub` of its tokens."""
    email: str | None = None
    """In lower case. Not unique: one address may have an account by password and one by single sign-on."""
    name: str | None = None
    """As the account's `name` or `full_name` says; people may change it."""
    created_at: datetime
    """When Orbit first saw the account."""


class VariableDefinition(Message):
    """Variables of an organisation (global), a business unit, a project, a suite or a test; they go with what they
    belong to."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID
    """Whose it is, whatever the scope."""
    business_unit_id: UUID | None = None
    """The unit, for that scope only."""
    project_id: UUID | None = None
    """The project, for the scopes project, suite and test."""
    suite_id: UUID | None = None
    """The suite, for the scopes suite and test."""
    test_case_id: UUID | None = None
    """The test, for that scope only."""
    scope: str
    """global | business_unit | project | suite | test: the narrowest of the columns before that is set."""
    scope_id: UUID
    """The id of what the scope names."""
    name: str
    """One word, as templates say it: a letter or _, then letters, digits, _ and -."""
    value: Any = None
    """JSON, up to 64 KiB as text, perhaps with templates; null for a secret."""
    value_type: Literal["string", "number", "boolean", "object", "array", "any"]
    """The JSON type that the value keeps, or any. A secret's is what was declared."""
    priority: int
    """Higher comes first, whatever the scope; 0 unless said."""
    description: str | None = None
    """What it is for, in a sentence."""
    secret_id: UUID | None = None
    """Where the value of a secret lies sealed."""
    uses: list[str]
    """Names inside {{ … }} of the value, other variables perhaps; of a secret, as whoever sealed it told."""
    updated_at: datetime
    """When it was last changed."""


class WorkerToken(Message):
    """What a worker shows to register. The token itself is answered once, when it is made, and kept nowhere."""

    id: UUID
    """Drawn at random."""
    organization_id: UUID | None = None
    """Whose tests its workers run; null: everybody's, which administrative roles alone make."""
    name: str
    """Where it is used: lab-berlin."""
    prefix: str
    """Its first 21 characters, by which it is recognised."""
    hash: str
    """SHA-256 of the token. It holds 244 random bits, which need no slower hash. Not readable by clients."""
    capabilities: list[str]
    """The most that its workers may say they can."""
    created_by: UUID | None = None
    """Who made it; null for administrative roles, or where the account is gone."""
    created_at: datetime
    """When it was made."""
    expires_at: datetime | None = None
    """Until when it holds; null: until it is revoked."""
    last_used_at: datetime | None = None
    """When a worker last registered with it, to the minute; null: never."""
    revoked_at: datetime | None = None
    """When it was taken back."""
    revoked_by: UUID | None = None
    """Who took it back."""


class Worker(Message):
    """Workers that are alive, as far as the reader may know: they are shared by tenants."""

    id: int | None = None
    """As in results; a worker that comes back has another."""
    name: str | None = None
    """Null unless it has a test of the reader's at this moment: names tell of machines."""
    version: str | None = None
    """Of Orbit; null as the name is."""
    capabilities: list[str] | None = None
    """What it can execute."""
    slots: int | None = None
    """How many tests it runs at once."""
    running: int | None = None
    """How many it runs just now of projects that the reader sees."""
    draining: bool | None = None
    """Whether it takes nothing more and goes when it is done."""
    organization: str | None = None
    """Whose tests alone it takes; null: everybody's."""
    group: str | None = None
    """The affinity group that it is set up for, of a project that the reader sees; null: none."""
    started_at: datetime | None = None
    """When it registered."""
    seen_at: datetime | None = None
    """When it was last heard of; after some seconds of silence it is given up for lost."""
