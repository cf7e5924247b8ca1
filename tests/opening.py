"""Models that the tests made themselves, opened in the tests' own process."""

from functools import partial

from auditor import models

open_model = partial(models.open_model, isolation="none")
