"""What a student is trained by (DMM, 2504.12364, section 4): scores, features, and a multi-class GAN.

The paper writes the first two as squared norms, sums over all numbers of a picture; the released code takes means, and
a weight for one is none for the other. Here every loss is a **mean**: over numbers of a picture, over taps, over the
batch. The weights of the shipped configurations are for means.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import MismatchError


def score_loss(student: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of |ε_stu(x_t, t, i) − ε_tea,i(x_t, t)|² (Eq. 6), float32 scalar.

    ``student`` and ``teacher`` (B, ...) are predictions of ε, ``weights`` (B,) of each picture, such as
    :meth:`~.noise.Schedule.min_snr`.
    """
    _alike(student, teacher)
    each = (student.float() - teacher.float()).square().flatten(1).mean(1)
    return (each if weights is None else each * weights.to(each.device)).mean()


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over taps of the mean |F_stu − F_tea|² (Eq. 7); tensors of one tap have one shape."""
    if len(student) != len(teacher) or not student:
        raise MismatchError(f"The student has {len(student)} taps and the teacher {len(teacher)}; both need the same "
                            "architecture.")
    return torch.stack([score_loss(ours, theirs) for ours, theirs in zip(student, teacher)]).mean()


def generator_loss(logits: Tensor, styles: Tensor) -> Tensor:
    """CE(D(x̂_stu), i) (Algorithm 1): the student's picture in style i shall look like teacher i's.

    ``logits`` (B, 2N), the first N for teachers; ``styles`` (B,) int64.
    """
    _classes(logits, styles)
    return functional.cross_entropy(logits.float(), styles)


def discriminator_loss(student: Tensor, teacher: Tensor, styles: Tensor) -> Tensor:
    """CE(D(x̂_stu), N + i) + CE(D(x̂_tea), i) (Algorithm 1; Eq. 11 has another index, which would teach it nothing of
    whose picture it is). Both logits are (B, 2N)."""
    _alike(student, teacher)
    _classes(student, styles)
    half = student.shape[1] // 2
    return functional.cross_entropy(student.float(), styles + half) + functional.cross_entropy(teacher.float(), styles)


def pseudo_huber(ours: Tensor, wanted: Tensor, c: float = 1e-3) -> Tensor:
    """Mean of √(|a − b|² + c²) − c over numbers (SPLAM, 2404.13903, and LCM's training)."""
    _alike(ours, wanted)
    return ((ours.float() - wanted.float()).square() + c * c).sqrt().sub(c).mean()


def _alike(ours: Tensor, theirs: Tensor) -> None:
    if ours.shape != theirs.shape:
        raise MismatchError(f"The student's {list(ours.shape)} cannot be compared with the teacher's "
                            f"{list(theirs.shape)}; both need the same architecture.")


def _classes(logits: Tensor, styles: Tensor) -> None:
    if logits.dim() != 2 or logits.shape[1] % 2 or int(styles.max()) >= logits.shape[1] // 2:
        raise MismatchError(f"A discriminator of styles up to number {int(styles.max()) + 1} needs twice as many "
                            f"logits as styles, not {list(logits.shape)}.")
