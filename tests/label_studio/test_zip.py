"""The zip for a Label Studio that the app cannot reach imports there by hand, and its labels can be pulled."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from lab import NAMES, make_project, predicted, tasks, write_model

from castle_core.label_studio import pull
from castle_core.labels import Labels, project_labels, update_project_labels
from castle_core.labels.exporting import export_labels

SHOTS = os.environ.get("CASTLE_TEST_SHOTS")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    made = make_project(tmp_path / "mice")
    frame = "labeled-data/day1/img00000003.png"
    xy = np.array([[10.125, 20.5], [np.nan, np.nan], [33, 41.3]]).reshape(1, 1, 3, 2)
    update_project_labels(made, Labels(NAMES, ("",), (frame,), xy, scorer="anna"))
    write_model(made, "m1")
    return made


def test_the_zip_imports_and_shows_its_pictures(label_studio, server, project, tmp_path, chromium):
    export_labels(project, "label-studio", tmp_path / "ls.zip", model="m1")
    with zipfile.ZipFile(tmp_path / "ls.zip") as archive:
        document, config = archive.read("tasks.json"), archive.read("labels_config.xml").decode()
    there = server.create_project({"title": "by hand", "label_config": config})
    answer = server.request(
        "POST", f"/api/projects/{there['id']}/import", files={"file": ("tasks.json", document, "application/json")}
    ).json()
    assert (answer["task_count"], answer["annotation_count"], answer["prediction_count"]) == (3, 1, 2)
    imported = tasks(server, there["id"])["labeled-data/day1/img00000007.png"]["predictions"][0]
    for k, region in enumerate(imported["result"]):
        pixels = region["value"]["x"] / 100 * 64, region["value"]["y"] / 100 * 48
        assert (region["value"]["keypointlabels"], pixels) == ([NAMES[k]], pytest.approx(predicted(7, k)))
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    try:
        first = min(int(task["id"]) for task in server.task_overview(there["id"]))
        page.goto(f"{label_studio.url}/user/login/?next=/projects/{there['id']}/data?task={first}")
        page.locator("input[name=email]").fill(label_studio.email)
        page.locator("input[name=password]").fill(label_studio.password)
        page.locator("[type=submit]").first.click()
        page.wait_for_function("window.Htx?.annotationStore?.selected?.regions?.length >= 2", timeout=45_000)
        shown = "() => [...document.images].some(i => i.src.startsWith('data:image/png') && i.naturalWidth === 64)"
        page.wait_for_function(shown, timeout=20_000)
        if SHOTS:
            page.wait_for_timeout(1000)
            page.screenshot(path=Path(SHOTS) / "zip.png")
    finally:
        context.close()
    before = project_labels(project)
    (project.path / "CollectedData.csv").unlink()
    pull(project, server, ls_project=there["id"])
    after = project_labels(project)
    assert after.frames == before.frames
    assert after.same_as(before, tolerance=1e-6) or np.allclose(after.xy, before.xy, atol=1e-6, equal_nan=True)
    assert json.loads(document)[0]["data"]["lp_path"] == before.frames[0]
