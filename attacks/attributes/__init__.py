"""What the rungs of the attribute ladder share: labels, features, calibration and figures."""
