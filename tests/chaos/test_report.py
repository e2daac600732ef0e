"""The page of results: each scenario as it was run last."""

from __future__ import annotations

from tests.chaos.report import Line, keep_results, write_page


def test_a_scenario_that_is_run_again_takes_the_place_of_what_it_said(tmp_path):
    file = tmp_path / "docs" / "results.json"
    keep_results(
        file, [Line(" 2  two", failures=["late"]), Line("10p ten"), Line("10p more")], seed=1, began="2026-01-01"
    )

    results = keep_results(file, [Line(" 2  two", notes=["in time"])], seed=2, began="2026-02-02")
    page = write_page(results, {"2": "Of two beats.", "10": "Down for a while."})

    assert [[line["cells"][0] for line in lines] for lines in results.values()] == [
        [" 2  two"],
        ["10p ten", "10p more"],
    ]
    assert "FAIL" not in page
    assert "in time" in page
    assert "- 2026-02-02, seed 2, " in page
    assert page.index("10p ten") > page.index(" 2  two")


def test_only_one_database_of_a_scenario_may_be_run_again(tmp_path):
    file = tmp_path / "results.json"
    keep_results(file, [Line(" 5  five"), Line(" 5p five")], seed=1, began="2026-01-01")

    results = keep_results(file, [Line(" 5p five again")], seed=1, began="2026-01-01")

    assert [lines[0]["cells"][0] for lines in results.values()] == [" 5  five", " 5p five again"]
