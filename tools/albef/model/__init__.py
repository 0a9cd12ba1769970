"""The model: a vision transformer, a BERT stack whose upper layers attend to the image, and the heads of each task."""

from albef.model.classify import EntailmentModel, NLVRModel, SentenceClassifier
from albef.model.config import ModelConfig
from albef.model.nlvr_pretrain import NLVRPretrainModel
from albef.model.pretrain import PretrainModel
from albef.model.retrieval import RetrievalModel
from albef.model.vqa import VQAModel

__all__ = [
    "EntailmentModel", "ModelConfig", "NLVRModel", "NLVRPretrainModel", "PretrainModel", "RetrievalModel", "SentenceClassifier",
    "VQAModel",
]  # fmt: skip
