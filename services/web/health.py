"""Liveness by progress and readiness by dependency."""

from typing import Any

from fastapi import APIRouter, Response, status

from services.web.watch import Watch


def router(watch: Watch) -> APIRouter:
    """`/healthz` and `/readyz`; open to everybody, and they tell nothing but names."""
    routes = APIRouter(tags=["health"])

    @routes.get(
        "/healthz", summary="Does this process get on?", responses={503: {"description": "It does not"}}
    )
    async def healthz(response: Response) -> dict[str, Any]:
        """200 while the own event loop turns and the database answers: otherwise a restart may help."""
        if not watch.alive:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"alive": watch.alive}

    @routes.get("/readyz", summary="Is the system ready?", responses={503: {"description": "Not yet"}})
    async def readyz(response: Response) -> dict[str, Any]:
        """200 when every dependency is ready; the body lists each, so that the missing one is known."""
        found = watch.dependencies
        if not all(found.values()):
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"ready": all(found.values()), "dependencies": found}

    return routes
