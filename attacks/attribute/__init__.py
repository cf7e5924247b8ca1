"""What are they like? Attacks that read attributes off stored features."""

from attacks.attribute.boosting import AttributeBoosting
from attacks.attribute.classifier import AttributeClassifier
from attacks.attribute.expansion import AttributeExpansion
from attacks.attribute.logistic import AttributeLogistic

__all__ = ["AttributeBoosting", "AttributeClassifier", "AttributeExpansion", "AttributeLogistic"]
