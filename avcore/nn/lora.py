"""Low-rank adaptation: a frozen linear layer, and a small one beside it that learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcore.support import AvcoreError


class LoRALinear(nn.Linear):
    """W x + b + (α / r) B A dropout(x), with W and b frozen.

    Source: Hu et al., "LoRA" (ICLR 2022). A (r, inputs) begins random, B (outputs, r) at zero, so
    that the layer begins as the one it adapts.

    Parameters
    ----------
    rank, alpha, dropout
        r, α, and the share of inputs that the small layer does not see in training.
    """

    def __init__(
        self, inputs: int, outputs: int, rank: int = 8, alpha: float = 32, dropout: float = 0.1
    ) -> None:
        super().__init__(inputs, outputs)
        if rank < 1:
            raise AvcoreError(f"the rank of LoRA must be at least 1, got {rank}")
        self.weight.requires_grad_(False)
        self.bias.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.empty(rank, inputs))
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)
        self.scale, self.dropout = alpha / rank, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        small = nn.functional.linear(
            nn.functional.linear(self.dropout(x), self.lora_A), self.lora_B
        )
        return super().forward(x) + self.scale * small

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """An ordinary linear layer that does the same in evaluation."""
        out = nn.Linear(self.in_features, self.out_features)
        out.weight.copy_(self.weight + self.scale * self.lora_B @ self.lora_A)
        out.bias.copy_(self.bias)
        return out.to(self.weight.device)


def fold(model: nn.Module) -> None:
    """Replace every adapted layer by an ordinary one that does the same in evaluation."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LoRALinear):
                setattr(module, name, child.folded())
