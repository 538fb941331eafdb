"""Three Python models in an ensemble that hand on what they get: what Triton by itself adds to three steps."""

from __future__ import annotations

from pathlib import Path

ENSEMBLE = "empty"
# what the ensemble's steps hand on: INT32 [1, 10]
TENSOR = "handed_on"
_STEPS = ("empty_1", "empty_2", "empty_3")

_TENSORS = f"""
max_batch_size: 64
input [ {{ name: "{TENSOR}" data_type: TYPE_INT32 dims: [ 10 ] }} ]
output [ {{ name: "{TENSOR}_out" data_type: TYPE_INT32 dims: [ 10 ] }} ]
"""

_MODEL = f'''\
import numpy as np
import triton_python_backend_utils as pb_utils

from packrank_backend.triton.tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([tensor_from_array("{TENSOR}_out", np.array(array_from_tensor(r, "{TENSOR}")))])
            for r in requests
        ]
'''


def add_empty_ensemble(repository: Path) -> None:
    """Write the models into a model repository; their configs are the postprocessor's in batching and instances."""
    for name in _STEPS:
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(_MODEL, encoding="utf-8")
        (repository / name / "config.pbtxt").write_text(
            f'name: "{name}"\nbackend: "python"\n{_TENSORS}\ndynamic_batching {{ }}\n'
            "instance_group [ { kind: KIND_CPU count: 1 } ]\n",
            encoding="utf-8",
        )
    carried = [TENSOR, "after_1", "after_2", f"{TENSOR}_out"]
    steps = ",\n".join(
        f'{{ model_name: "{name}" model_version: -1 input_map {{ key: "{TENSOR}" value: "{taken}" }} '
        f'output_map {{ key: "{TENSOR}_out" value: "{given}" }} }}'
        for name, taken, given in zip(_STEPS, carried[:-1], carried[1:], strict=True)
    )
    (repository / ENSEMBLE / "1").mkdir(parents=True)
    (repository / ENSEMBLE / "config.pbtxt").write_text(
        f'name: "{ENSEMBLE}"\nplatform: "ensemble"\n{_TENSORS}\nensemble_scheduling {{ step [ {steps} ] }}\n',
        encoding="utf-8",
    )
