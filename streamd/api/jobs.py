"""Work for later, for administrators: `/api/v1/jobs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from streamd.api.permissions import ADMINS
from streamd.api.routes import Route
from streamd.errors import ConflictError, NotFoundError
from streamd.jobs.desk import JobDesk, JobSeen


class JobView(BaseModel):
    """Something that is to be done, was done, or was given up."""

    id: int
    kind: str
    subject: str = Field(description="what it is about")
    payload: dict[str, Any]
    status: Literal["waiting", "running", "done", "dead"]
    due_at_ms: int = Field(description="not before; while it runs, when another worker may take it over")
    attempts: int
    error: str = Field(description="of the last try")
    created_at_ms: int
    finished_at_ms: int | None


class JobPage(BaseModel):
    """Some jobs, newest first."""

    items: list[JobView]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")


class JobQuery(BaseModel):
    """Which jobs."""

    cursor: Annotated[int, Field(ge=1, le=1 << 53, description="`next_cursor` of the page before")] = 1 << 53
    status: Literal["", "waiting", "running", "done", "dead"] = ""
    kind: Annotated[str, Field(pattern=r"^[a-z_.]{0,32}$", description="order.expire, retention …")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class JobsApi:
    """The handlers."""

    def __init__(self, *, desk: JobDesk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/jobs",
                handler=self.jobs,
                summary="Work for later: what waits, runs, was done, was given up",
                require=ADMINS,
            ),
            Route(
                method="POST",
                path="/api/v1/jobs/{job}/retry",
                handler=self.retry,
                summary="Try one again that was given up",
                require=ADMINS,
                audit="job.retry",
                problems=(NotFoundError, ConflictError),
            ),
            Route(
                method="DELETE",
                path="/api/v1/jobs/{job}",
                handler=self.drop,
                summary="Never do this one",
                require=ADMINS,
                audit="job.drop",
                problems=(NotFoundError, ConflictError),
            ),
        ]

    async def jobs(self, *, query: JobQuery) -> JobPage:
        found = await self._desk.page(status=query.status, kind=query.kind, before=query.cursor, limit=query.limit + 1)
        shown = found[: query.limit]
        return JobPage(
            items=[_view(job) for job in shown],
            next_cursor=shown[-1].id if len(found) > len(shown) else None,
        )

    async def retry(self, *, job: str) -> JobView:
        return _view(await self._desk.retry(_number(job)))

    async def drop(self, *, job: str) -> None:
        await self._desk.drop(_number(job))


def _view(job: JobSeen) -> JobView:
    return JobView.model_validate({name: getattr(job, name) for name in JobView.model_fields})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFoundError("there is no such job", fix="see the list of jobs", code="job_unknown")
    return int(text)
