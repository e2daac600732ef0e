"""The tasks that a simulator has when it is told of no others."""

from __future__ import annotations

from uuid import UUID

from qlik.simulator.tasks import Task

DEMO_TASKS = (
    Task(
        id=UUID("0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"),
        name="Reload Sales overview",
        app="Sales overview",
        tags=("Sales", "Transform"),
        custom_properties={"Department": "Sales"},
    ),
    Task(
        id=UUID("3c1f7a52-9d0e-4b86-8a57-1e2d64c0b9f1"),
        name="Extract ERP orders",
        app="Extract ERP orders",
        tags=("Extract", "Finance"),
        custom_properties={"Department": "Finance", "Layer": "Extract"},
        reload_seconds=45.0,
        max_retries=1,
    ),
    Task(
        id=UUID("7b0a1d6e-52c3-4f19-b6d8-90e47f3a2c15"),
        name="Transform finance ledger",
        app="Transform finance ledger",
        tags=("Transform", "Finance"),
        custom_properties={"Department": "Finance", "Layer": "Transform"},
        reload_seconds=90.0,
    ),
    Task(
        id=UUID("c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"),
        name="Reload License monitor",
        app="License Monitor",
        tags=("Operations",),
        reload_seconds=20.0,
    ),
    Task(
        id=UUID("e5d2c7a8-6b94-4e31-a0f7-2c81b95d3e60"),
        name="Reload Budget 2019 (disabled)",
        app="Budget 2019",
        tags=("Finance",),
        custom_properties={"Department": "Finance"},
        enabled=False,
    ),
    Task(
        id=UUID("f81b4e0c-37a5-4d92-8e16-5a9c0d2b7f38"),
        name="Reload Web shop (always fails)",
        app="Web shop",
        tags=("Sales",),
        custom_properties={"Department": "Sales"},
        reload_seconds=5.0,
        max_retries=2,
        fails=True,
    ),
)
