"""A score that cannot be computed fails the build, where it is mended, and not every decision."""

from __future__ import annotations

import pytest
import yaml

from kundresa.warehouse import Manifest


def _test_scores(sample_shop, scores: str):
    # No score is written by the test: the shared warehouse stays as it is.
    return sample_shop.warehouse.dbt("test", "--select", "scores_are_numbers", scores=yaml.safe_load(scores))


def test_the_build_tests_the_scores(sample_shop):
    listed = sample_shop.warehouse.dbt(
        "ls", "--select", "tag:warehouse", "--resource-type", "test", "--output", "name"
    )
    assert "scores_are_numbers" in listed.stdout.split()


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ("{value: totl_spend}", "totl_spend"),
        ("{value: total_spend, name: first_name}", "first_name"),
        ("{value: total_spend, rate: \"cast('infinity' as double)\"}", "configured to fail if != 0"),
        ("{value: \"cast('nan' as double)\"}", "configured to fail if != 0"),
    ],
)
def test_a_broken_score_is_named(sample_shop, scores, said):
    result = _test_scores(sample_shop, scores)
    assert result.returncode == 1
    assert "scores_are_numbers" in result.stdout
    assert said in result.stdout


@pytest.mark.parametrize("scores", ["{value: total_spend, recency: -days_since_last_order}", "{}"])
def test_numbers_and_nulls_are_scores_and_there_need_be_none(sample_shop, scores):
    result = _test_scores(sample_shop, scores)
    assert result.returncode == 0, result.stdout


def test_the_manifest_knows_the_names_of_the_scores(manifest: Manifest):
    assert manifest.scores() == {"recency": "-days_since_last_order", "value": "total_spend"}
