"""The inspector's facts on constructed JSON: deserialising a plan to inspect it needs a GPU."""

from __future__ import annotations

import json
from typing import Any

import pytest

from packrank_build.tensorrt.inspector import check_engine_facts, engine_facts
from packrank_build.tensorrt.log import EngineError

FP32_SUMS = "sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x128x32_stage4_warpsize2x2x1_tensor16x8x16"
FP16_SUMS = "sm80_xmma_gemm_f16f16_f16f16_f16_tn_n_tilesize128x128x32_stage4_warpsize2x2x1_tensor16x8x16"
FP8 = "sm89_xmma_gemm_e4m3e4m3_e4m3f32_f32_tn_n_tilesize64x64x64_stage4_warpsize2x2x1_tensor16x8x32_bias_f32"


def layer(name: str, tactic: str, *types: str) -> dict[str, Any]:
    inputs = [{"Name": f"in{place}", "Format/Datatype": kind} for place, kind in enumerate(types)]
    return {"Name": name, "LayerType": "gemm", "TacticName": tactic, "Inputs": inputs}


MHA = layer("_gemm_mha_v2_myl0_7", "_gemm_mha_v2_0x41c7879c", "Half", "Half", "Half")
HEAD = layer("node_MatMul_72_myl0_30", "sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize64x64", "Float", "Float")
NORM = layer("__myl_CasMulMeaAddSqrDivMulCas_myl0_1", "", "Float")


def information(*layers: Any) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["input_ids", "logits"]})


def product(tactic: str, kind: str = "Half") -> dict[str, Any]:
    return layer("node_MatMul_36+node_MatMul_35+node_MatMul_34_myl0_3", tactic, kind, kind)


def test_an_fp16_engine_with_fp32_sums_passes() -> None:
    facts = check_engine_facts(information(NORM, product(FP32_SUMS), MHA, product(FP32_SUMS), HEAD), "fp16")
    assert (facts.fused_attention, facts.products, facts.fp32_sums, facts.fp16_sums) == (1, 2, 2, 0)
    assert "1 fused attention kernels, 2 products" in facts.sentence()


@pytest.mark.parametrize(
    ("tactic", "expected"),
    [
        (FP32_SUMS, (1, 0)),
        (FP16_SUMS, (0, 1)),
        ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize96x64", (1, 0)),
        ("nvjet_hsh_256x128_64x4_1x2_h_bz_coopA_NNT", (1, 0)),
        ("nvjet_hhh_256x128_64x4_1x2_h_bz_coopA_NNT", (0, 1)),
        ("trt_ampere_h16816gemm_128x64_ldg8_nn_v1", (0, 1)),
        ("ampere_fp16_s16816gemm_fp16_256x128_ldg8_f2f_stages_32x3_nn", (1, 0)),
        ("__myelin_CASK_STUB", (0, 0)),
    ],
)
def test_a_kernels_name_says_what_it_adds_in(tactic: str, expected: tuple[int, int]) -> None:
    facts = engine_facts(information(MHA, product(tactic)))
    assert (facts.fp32_sums, facts.fp16_sums) == expected


def test_sums_in_fp16_are_refused() -> None:
    with pytest.raises(EngineError, match="fp16 engine is not what it says: 1 products add in fp16. Nothing was"):
        check_engine_facts(information(MHA, product(FP16_SUMS), product(FP32_SUMS)), "fp16")


def test_an_fp8_engine_must_show_fp8_operands() -> None:
    passed = check_engine_facts(information(MHA, product(FP8, "FP8"), product(FP8, "FP8"), HEAD), "fp8")
    assert passed.fp8_products == passed.products == 2
    with pytest.raises(EngineError, match="only 1 of 2 products have FP8 operands"):
        check_engine_facts(information(MHA, product(FP8, "FP8"), product(FP32_SUMS)), "fp8")
    with pytest.raises(EngineError, match="only 0 of 0 products have FP8 operands"):
        check_engine_facts(information(MHA, HEAD), "fp8")


def test_weights_can_be_the_second_operand() -> None:
    weights = {**layer("node_MatMul_57", FP8, "FP8"), "Weights": {"Type": "FP8", "Count": 4194304}}
    assert engine_facts(information(MHA, weights)).fp8_products == 1


def test_attention_that_was_taken_apart_is_refused() -> None:
    with pytest.raises(EngineError, match="attention is not fused: softmax has a kernel of its own"):
        check_engine_facts(information(product(FP32_SUMS), layer("softmax_12", "", "Half")), "fp16")


@pytest.mark.parametrize("empty", [information(), information("node_MatMul_36", "node_MatMul_57"), "{}"])
def test_a_plan_without_details_is_refused(empty: str) -> None:
    with pytest.raises(EngineError, match="not built with detailed profiling verbosity"):
        engine_facts(empty)
