# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard keeps to Grafana's schema, as far as it can be told without Grafana.

The keys and types are those of Grafana's published dashboard schema (version 39: kinds/dashboard of Grafana 10 and 11);
what a panel's plugin adds for itself (options, custom) is not part of it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DASHBOARD = Path(__file__).resolve().parents[3] / "docs" / "monitoring" / "grafana" / "upkeep.json"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DataSource(Part):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class GridPos(Part):
    x: Annotated[int, Field(ge=0, lt=24)]
    y: Annotated[int, Field(ge=0)]
    w: Annotated[int, Field(gt=0, le=24)]
    h: Annotated[int, Field(gt=0)]


class Target(Part):
    datasource: DataSource
    editorMode: Literal["code"]  # noqa: N815 - Grafana's names, here and below
    expr: Annotated[str, Field(min_length=1)]
    format: Literal["time_series", "table"]
    instant: bool
    range: bool
    legendFormat: str  # noqa: N815
    refId: Annotated[str, Field(pattern="^[A-Z]$")]  # noqa: N815


class Step(Part):
    color: str
    value: float | int | None


class Thresholds(Part):
    mode: Literal["absolute", "percentage"]
    steps: Annotated[list[Step], Field(min_length=1)]


class Color(Part):
    mode: Literal["thresholds", "palette-classic", "fixed"]
    fixedColor: str | None = None  # noqa: N815


class Shown(Part):
    text: str
    index: int


class ValueMap(Part):
    type: Literal["value"]
    options: dict[str, Shown]


class Defaults(Part):
    unit: str | None = None
    decimals: int | None = None
    min: float | int | None = None
    max: float | int | None = None
    noValue: str | None = None  # noqa: N815
    mappings: list[ValueMap]
    thresholds: Thresholds
    color: Color
    custom: dict[str, Any]


class Matcher(Part):
    id: Literal["byName", "byRegexp"]
    options: str


class Property(Part):
    id: str
    value: Any


class Override(Part):
    matcher: Matcher
    properties: list[Property]


class FieldConfig(Part):
    defaults: Defaults
    overrides: list[Override]


class Transformation(Part):
    id: Literal["merge", "organize"]
    options: dict[str, Any]


class Panel(Part):
    id: Annotated[int, Field(gt=0)]
    type: Literal["stat", "table", "timeseries", "bargauge", "gauge"]
    title: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    datasource: DataSource
    gridPos: GridPos  # noqa: N815
    targets: Annotated[list[Target], Field(min_length=1)]
    fieldConfig: FieldConfig  # noqa: N815
    options: dict[str, Any]
    transformations: list[Transformation] | None = None


class RowPanel(Part):
    id: Annotated[int, Field(gt=0)]
    type: Literal["row"]
    title: str
    collapsed: bool
    gridPos: GridPos  # noqa: N815
    panels: Annotated[list[Any], Field(max_length=0)]


class Variable(Part):
    name: str
    label: str
    type: Literal["query", "datasource"]
    datasource: DataSource | None = None
    definition: str | None = None
    query: str | dict[str, str]
    refresh: Literal[0, 1, 2]
    regex: str
    sort: int | None = None
    multi: bool
    includeAll: bool  # noqa: N815
    allValue: str | None = None  # noqa: N815
    current: dict[str, Any]
    options: list[Any]
    hide: Literal[0, 1, 2, 3]
    skipUrlSync: bool  # noqa: N815


class Templating(Part):
    list: Annotated[list[Variable], Field(min_length=1)]


class Between(Part):
    from_: Annotated[str, Field(alias="from")]
    to: str


class Dashboard(Part):
    id: None
    uid: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,40}$")]
    title: str
    description: str
    tags: list[str]
    timezone: str
    editable: bool
    graphTooltip: Literal[0, 1, 2]  # noqa: N815
    time: Between
    timepicker: dict[str, Any]
    fiscalYearStartMonth: Annotated[int, Field(ge=0, lt=12)]  # noqa: N815
    refresh: str
    schemaVersion: Annotated[int, Field(ge=36, le=41)]  # noqa: N815
    version: int
    weekStart: str  # noqa: N815
    panels: list[Annotated[Panel | RowPanel, Field(discriminator="type")]]
    templating: Templating
    annotations: dict[str, list[dict[str, Any]]]
    links: list[Any]


def test_it_keeps_the_schema() -> None:
    dashboard = Dashboard.model_validate(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    ids = [panel.id for panel in dashboard.panels]
    assert len(set(ids)) == len(ids) > 30
    places = [panel.gridPos for panel in dashboard.panels]
    for one, other in itertools.combinations(places, 2):
        apart = one.x + one.w <= other.x or other.x + other.w <= one.x
        assert apart or one.y + one.h <= other.y or other.y + other.h <= one.y, f"{one} and {other} overlap"
    assert all(place.x + place.w <= 24 for place in places)


def test_it_belongs_to_no_grafana_of_ours() -> None:
    """The data source is a variable; nothing names a server, an organisation or a stored id."""
    text = DASHBOARD.read_text(encoding="utf-8")
    dashboard = json.loads(text)
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    names = {f"${variable['name']}" for variable in dashboard["templating"]["list"]} | {"${datasource}"}
    assert {"$instance", "$job_name"} <= names
    assert "localhost" not in text
    assert "://" not in text


def test_a_table_renames_the_columns_that_its_overrides_name() -> None:
    dashboard = Dashboard.model_validate(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    for panel in dashboard.panels:
        if isinstance(panel, Panel) and panel.type == "table":
            organize = next(change for change in panel.transformations or [] if change.id == "organize")
            names = set(organize.options["renameByName"].values())
            overridden = {one.matcher.options for one in panel.fieldConfig.overrides}
            assert overridden <= names, panel.title
            values = {name for name in organize.options["renameByName"] if name.startswith("Value #")}
            refs = {f"Value #{target.refId}" for target in panel.targets}
            assert values <= refs
            assert len(panel.targets) == 1 or values == refs, f"{panel.title}: a column without a name"
