"""Random numbers that nobody can compute again who does not have a 256-bit secret.

Differential privacy assumes noise and samples that an adversary cannot guess. A torch generator has
32 bits of state from its seed, few enough to try them all; Opacus' ``secure_mode`` asks for a
package that no longer builds. Here everything comes from ChaCha20 (RFC 8439) in counter mode.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from scipy.special import ndtri

SECRET_BYTES = 32
BLOCK = 2**16
"""Numbers that are made at once: a layer's noise is as large as the layer."""
SUMMED = 4
"""Gaussians that make up one: the bits of a sum do not tell its parts, on which the attacks on
floating-point noise rest (Mironov, CCS 2012; Holohan and Braghin, 2021, Sec. 5.1)."""


def system_secret() -> bytes:
    """Return a secret from the operating system, which is written nowhere."""
    return os.urandom(SECRET_BYTES)


def seeded_secret(seed: int, name: str) -> bytes:
    """Return a secret that whoever knows the seed has as well: for tests, and for nothing else."""
    return hashlib.sha256(f"{seed}/{name}/secret".encode()).digest()


class SecretStream:
    """Independent numbers, draw by draw; the same ones under the same secret.

    Args:
        secret: 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret, self._draws = secret, 0

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return ``(count,)`` strictly between 0 and 1, with 52 random bits each."""
        found = np.empty(count)
        keystream = self._keystream()
        for block in np.split(found, range(BLOCK, count, BLOCK)):
            drawn = np.frombuffer(keystream.update(bytes(block.nbytes)), dtype="<u8")
            block[:] = ((drawn >> np.uint64(12)) + 0.5) * 2.0**-52
        return found

    def gaussian(self, shape: Sequence[int]) -> NDArray[np.float64]:
        """Return standard normal numbers."""
        total = np.zeros(int(np.prod(shape)))
        for _ in range(SUMMED):
            part = self.uniform(len(total))
            total += ndtri(part, out=part)
        total /= np.sqrt(SUMMED)
        return total.reshape(shape)

    def _keystream(self) -> CipherContext:
        """Return a keystream of its own per draw: a counter is half the nonce of the next one."""
        self._draws += 1
        nonce = bytes(4) + self._draws.to_bytes(12, "little")
        return Cipher(ChaCha20(self._secret, nonce), mode=None).encryptor()


class SecretOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' optimizer with noise from a secret stream, added in double precision.

    Args:
        stream: gives the noise.
        given: what Opacus' takes.
    """

    def __init__(self, stream: SecretStream, *given: object, **named: object) -> None:
        super().__init__(*given, **named)
        self.stream = stream

    def add_noise(self) -> None:
        """Leave the noisy sum of cut gradients in ``p.grad``."""
        deviation = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            _check_processed_flag(p.summed_grad)
            noise = torch.from_numpy(self.stream.gaussian(p.summed_grad.shape))
            noisy = noise.mul_(deviation).add_(p.summed_grad.cpu())
            p.grad = noisy.to(p).view_as(p)
            _mark_as_processed(p.summed_grad)


class SecretSampler(UniformWithReplacementSampler):  # type: ignore[misc]
    """Poisson samples from a secret stream.

    Args:
        stream: decides who takes part.
        units: that may.
        rate: chance of each, in every step.
    """

    def __init__(self, stream: SecretStream, units: int, rate: float) -> None:
        super().__init__(num_samples=units, sample_rate=rate)
        self.stream = stream

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of a step, ``int(1 / rate)`` times."""
        for _ in range(self.steps):
            taken = self.stream.uniform(self.num_samples) < self.sample_rate
            yield np.flatnonzero(taken).tolist()
