"""A model for MLServer: means of cells, as `tests.service.thumbnail` gives them."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Thumbnail(MLModel):
    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        cells = images.reshape(len(images), 3, 4, 8, 2, 8).mean((3, 5))
        features = cells.reshape(len(images), -1)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("features", features)]
        )
