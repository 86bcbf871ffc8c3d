from keras_robust.cli.console import progress_bars


def test_stages_are_told_by_tenths_where_there_is_no_terminal(capsys):
    with progress_bars() as progress:
        for done in range(101):
            progress("training", done, 100)
        progress("scoring", 0, 0)
    lines = [line.split(", about")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines[:2] == ["Training: 0 of 100", "Training: 10 of 100"]
    assert lines[-2:] == ["Training: 100 of 100", "Scoring: 0 of 0"] and len(lines) == 12
