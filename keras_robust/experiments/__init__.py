"""Grids of runs, their statistics and their report.

>>> from keras_robust.experiments import BenchmarkConfig
>>> config = BenchmarkConfig(losses=["t", "gce"], noise=[(0.7, 0.7)], seeds=[0, 1])
>>> [run.name for run in config.runs()]
['t_a0.7_b0.7_s0', 'gce_a0.7_b0.7_s0', 't_a0.7_b0.7_s1', 'gce_a0.7_b0.7_s1']
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "agreement": ["Agreement", "measure_agreement"],
        "agreement_report": ["write_agreement_report"],
        "cross_validation_report": ["write_cross_validation_report"],
        "demo_report": ["write_demo_report"],
        "grid": ["BenchmarkConfig", "LossEntry", "PlannedRun"],
        "report": ["write_report"],
        "runs": ["RunRecord", "find_runs", "read_status"],
        "scheduler": ["run_benchmark"],
        "statistics": ["SettingTest", "compare"],
        "tuning": ["TuningState", "tune"],
        "tuning_figures": ["stability_figure"],
        "tuning_objective": ["Objective"],
        "tuning_report": ["write_stability", "write_tuning_report"],
        "tuning_results": ["TuningRecord", "find_studies"],
        "tuning_space": ["SPACES", "Range", "Space", "load_space"],
    },
)
