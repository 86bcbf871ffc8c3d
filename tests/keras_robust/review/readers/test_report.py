"""The report of a review: its figures by hand, and its page."""

import numpy as np
import pandas as pd
import pytest

from keras_robust.data import Dataset
from keras_robust.review import ReviewSession, read_log, review_table, write_review_report

from ..conftest import IDS, disc


def test_the_report_says_who_decided_what_how_far_and_in_what_time(home, tmp_path):
    with ReviewSession(home, "anna") as anna:
        anna.load(IDS[0])
        anna.decide(IDS[0], "reject", seconds=4.04)
        anna.decide(IDS[0], "accept", seconds=5.0)
        mask = anna.load(IDS[1]).labels
        anna.decide(IDS[1], "repair", "rim", mask=np.where(disc(32, 8) > 0, 1, mask), seconds=9999)
        anna.decide(IDS[2], "reject")
        anna.decide(IDS[3], "reject")
        anna.withdraw(IDS[3])
    with ReviewSession(home, "ben") as ben:
        ben.decide(IDS[0], "accept")
        ben.decide(IDS[2], "accept")
    table = review_table(home).set_index(["reviewer", "id"])
    assert len(table) == 5
    assert table.loc[("anna", IDS[0]), "seconds"] == 9.0 and table.loc[("ben", IDS[0])].seconds != 0
    assert table.loc[("anna", IDS[0]), "dice_with_annotator"] == 1
    repaired, small, large = table.loc[("anna", IDS[1])], disc(32, 6).sum(), disc(32, 8).sum()
    assert repaired.dice_with_annotator == pytest.approx(2 * small / (small + large))
    assert repaired.changed_share == pytest.approx((large - small) / small)
    assert repaired.seconds == 1800 and np.isnan(table.loc[("anna", IDS[2])].seconds)
    page = write_review_report(home, tmp_path / "report")
    text = page.read_text()
    assert "anna and ben" in text and "rim" in text and "3 of 6" in text
    pairs = pd.read_csv(tmp_path / "report" / "agreement.csv")
    assert pairs.loc[0, ["both decided", "alike", "disputed"]].tolist() == [2, 0.5, 1]
    assert len(pd.read_csv(tmp_path / "report" / "decisions.csv")) == 5


def test_a_review_nobody_made_is_refused_and_odd_seconds_are_none(home):
    with pytest.raises(ValueError, match="somebody has reviewed"):
        review_table(home)
    with ReviewSession(home, "anna") as session:
        session.decide(IDS[0], "accept", seconds=3)
        path = session.log.files.log
    path.write_text(path.read_text().replace('"seconds": 3', '"seconds": "long"'))
    assert read_log(Dataset.open(home), home, "anna").decision(IDS[0]).seconds is None
