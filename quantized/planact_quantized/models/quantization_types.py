"""What a model can be quantized to: for the help of a command, without llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES: Final[Mapping[str, str]] = {
    "Q2_K": "smallest; plans suffer",
    "Q3_K_S": "",
    "Q3_K_M": "",
    "Q3_K_L": "",
    "IQ3_S": "",
    "IQ3_M": "",
    "IQ4_XS": "",
    "IQ4_NL": "",
    "Q4_0": "fast on ARM processors",
    "Q4_1": "",
    "Q4_K_S": "",
    "Q4_K_M": "the usual choice",
    "Q5_0": "",
    "Q5_1": "",
    "Q5_K_S": "",
    "Q5_K_M": "",
    "Q6_K": "",
    "Q8_0": "nearly as good as the original",
    "BF16": "half the size of F32",
    "F16": "half the size of F32",
}
"""What can be made, the smallest first.

llama.cpp's other types are left out: IQ1 to IQ2, IQ3_XXS, IQ3_XS and Q2_K_S need an importance matrix, TQ, Q1, Q2_0
and MXFP4 are for models trained for them.
"""
