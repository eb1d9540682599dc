"""HuBERT from torchaudio, with the names and the precision of the checkpoints that use it.

Source: Hsu et al., "HuBERT" (TASLP 2021); large: 24 layers of width 1024, a step each 20 ms.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchaudio.models import wav2vec2_model

SAMPLE_RATE = 16_000  # Hz
SHORTEST = 400  # samples that give one step


class NormalisedConv(nn.Module):
    """A convolution over time with weight normalisation, w = g · v / |v| per place of the kernel.

    Source: Salimans and Kingma (NeurIPS 2016). torch's own form cannot be pickled.

    Parameters
    ----------
    conv
        The convolution whose weights it starts from.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        weight = conv.weight.detach().clone()
        self.weight_g = nn.Parameter(weight.norm(dim=(0, 1), keepdim=True))
        self.weight_v = nn.Parameter(weight)
        self.bias = conv.bias
        self.padding, self.groups = conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T')."""
        v = self.weight_v
        weight = v * (self.weight_g / v.norm(dim=(0, 1), keepdim=True))
        return functional.conv1d(x, weight, self.bias, padding=self.padding, groups=self.groups)


class Hubert(nn.Module):
    """Waveforms to a sequence of features, one each 320 samples.

    Parameters
    ----------
    width, layers, heads
        Of the transformer; the defaults are HuBERT large.
    eps
        Of the transformer's layer normalisations; DenseAV uses 1e-4, HuBERT 1e-5.
    """

    def __init__(
        self, width: int = 1024, layers: int = 24, heads: int = 16, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.model = wav2vec2_model(
            extractor_mode="layer_norm",
            extractor_conv_layer_config=None,
            extractor_conv_bias=True,
            encoder_embed_dim=width,
            encoder_projection_dropout=0.0,
            encoder_pos_conv_kernel=128,
            encoder_pos_conv_groups=16,
            encoder_num_layers=layers,
            encoder_num_heads=heads,
            encoder_attention_dropout=0.0,
            encoder_ff_interm_features=4 * width,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.0,
            encoder_layer_norm_first=True,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        position = self.model.encoder.transformer.pos_conv_embed
        position.conv = NormalisedConv(position.conv)
        for module in self.model.encoder.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = eps

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, n) at 16 kHz -> (B, width, 1, T); T is (n - 80) // 320."""
        return self.model(waveform)[0].transpose(1, 2).unsqueeze(2)


def from_transformers_key(key: str) -> str | None:
    """The name here of a weight of Hugging Face's `HubertModel`; None where it has no use here."""
    if key == "masked_spec_embed":
        return None
    if key.startswith("feature_projection."):
        return f"model.encoder.{key}"
    if key.startswith("encoder."):
        return f"model.encoder.transformer.{key.removeprefix('encoder.')}"
    return f"model.{key}"
